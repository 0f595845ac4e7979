package problem

// The German of what concerns a node alone.

var germanSystem = map[Code]string{
	NotReachable: "der Dienst {service} antwortet nicht; siehe 'syslog tail', dann 'reboot', wenn es so bleibt",
	Internal:     "{service}: {detail!}; mehr steht in 'syslog tail'",

	NoNode:        "in {folder} ist kein Knoten gelaufen; einen starten mit 'parley run -state {folder} -a ADDRESS'",
	NoSuchService: "es gibt keinen Dienst '{service}', der für sich neu gestartet werden kann; 'reboot' startet alles neu",
	Stopping:      "das System hält gerade an; warten, bis es wieder läuft",

	TraceSubsystem: "'{subsystem}' kann kein Teilsystem für die Ablaufverfolgung sein; Buchstaben, Ziffern, Leerzeichen und Bindestriche verwenden, höchstens 40, etwa xmpp",
	TraceTime:      "so lange kann nichts verfolgt werden; höchstens {max!} wählen",
	TraceMany:      "es werden schon {max} Teilsysteme verfolgt; erst eine dieser Verfolgungen beenden",

	DiagnoseFailed: "{failed} von {checks} fehlgeschlagen; die Kommandos eingeben, mit denen die Zeilen mit FAIL enden, das der ersten zuerst",
}

var germanFiles = map[Code]string{
	UploadCut:    "das Hochladen von {file} brach mittendrin ab, und die Datei ist wie zuvor; sie noch einmal hochladen",
	FileName:     "{file} kann kein Dateiname sein; bis zu 100 druckbare ASCII-Zeichen verwenden, ohne / \\ und \" und ohne Punkt am Anfang",
	FileUnknown:  "es gibt keine Datei {file}; 'ls' zeigt alle, mit SFTP wird sie abgelegt",
	FileExists:   "die Datei {file} gibt es schon; einen anderen Namen wählen oder sie mit 'rm {file}' entfernen",
	FileDenied:   "die Rolle {role} darf das mit Dateien nicht; als Benutzer der Rolle admin oder crypto anmelden",
	FileKey:      "{file} ist ein privater Schlüssel, den die Rolle {role} nicht lesen darf; als Benutzer der Rolle admin oder crypto anmelden",
	FileNoKey:    "{file} ist kein privater Schlüssel; eine Datei mit der Endung .key angeben, 'pki list' zeigt alle",
	FileLocked:   "{file} ist gesperrt und kann nicht gelesen, ersetzt oder umbenannt werden; mit 'rm {file}' entfernen und einen neuen Schlüssel erzeugen",
	FileInUse:    "{file} ist in Gebrauch durch {use}; dort erst andere Dateien angeben",
	FileReadOnly: "{file} ist eine Datei der Appliance selbst; einen anderen Namen wählen",
	FileLarge:    "{file} ist größer als {max}; eine kleinere Datei ablegen",
	FilesFull:    "es gibt {max} Dateien, und mehr dürfen es nicht sein; einige mit 'rm' entfernen",
	DiskFull:     "die Platte ist zu voll für {file}; Dateien mit 'rm' entfernen",
	LegacySCP:    "das alte SCP-Protokoll gibt es hier nicht; scp ohne -O (ab OpenSSH 9), sftp, pscp oder WinSCP verwenden",
	FlatRoot:     "Ordner und Verknüpfungen gibt es hier nicht; Dateien ins Hauptverzeichnis legen",

	PKIAttribute:      "'{attribute}' ist kein Attribut; wie CN:example.com schreiben, mit einem von {names}",
	PKIAttributeValue: "'{attribute}' kann nicht verwendet werden: {why!}; wie CN:example.com subjectAltName:a.example.com,10.0.0.1 schreiben",
	PKINoCN:           "der Name (CN) fehlt; CN:<name> angeben, in der Regel die XMPP-Domäne",
	PKIBase:           "'{base}' hat schon eine Endung; den Namen ohne sie angeben, etwa {better}",
	PKIDays:           "ein Zertifikat kann nicht {days} Tage gelten; 1 bis {max} wählen",
	PKIDamaged:        "{file} ist beschädigt: {detail!}; die Datei noch einmal ablegen, binär oder als PEM",
	PKIKind:           "{file} ist {is!}, nicht {want!}; {fix!}",
	PKIMismatch:       "der Schlüssel {key} gehört nicht zu {certificate}; {fix!}",
	PKINotCA:          "'{subject}' in {file} darf keine Zertifikate ausstellen; das Zertifikat einer Zertifizierungsstelle verwenden",
	PKIExpired:        "'{subject}' in {file} ist am {until} abgelaufen; ein erneuertes Zertifikat ablegen oder die Uhr stellen, sie zeigt {now}",
	PKINotYet:         "'{subject}' in {file} gilt erst ab {from}; abwarten oder die Uhr stellen, sie zeigt {now}",
	PKIOrder:          "{at!} ist '{got}', dorthin gehört aber '{want}', von dem '{child}' ausgestellt ist; {file} in der Reihenfolge {order!} ablegen",
	PKIIncomplete:     "in {bundle} fehlt das Zertifikat von '{issuer}', von dem '{subject}' ausgestellt ist; es hinzufügen, Zwischenzertifikate zuerst, die Wurzel zuletzt",
	PKIWeakSignature:  "'{subject}' in {file} ist mit {algorithm} signiert, was Clients ablehnen; es mit SHA-256 neu signieren lassen",
	PKIUnverified:     "{file} lässt sich mit {bundle} nicht prüfen: {detail!}; siehe 'pki inspect {file}'",

	PKINoBundle: "{file} ist von '{issuer}' ausgestellt, und kein Bundle ist angegeben; eines als dritte Datei angeben, wenn Clients diesen Aussteller nicht kennen",
	PKIStray:    "Zertifikat {at} in {file}, '{subject}', gehört nicht zur Kette; es entfernen",
	PKIDomain:   "{file} nennt die Domäne {domain} nicht, nur: {names!}; Clients werden es ablehnen, daher eines mit subjectAltName:{domain} beantragen",
	PKIHost:     "{file} nennt diesen Host, {host}, nicht, nur: {names!}; wenn Clients sich mit diesem Namen verbinden, eines mit subjectAltName:{host} beantragen",
	PKISoon:     "{file} läuft in {days} Tagen ab, am {until}; es erneuern",
	PKIUsage:    "{file} ist nicht für TLS-Server bestimmt (serverAuth fehlt); Clients können es ablehnen, daher ein Serverzertifikat beantragen",
	PKIWeakKey:  "{file} hat einen schwachen Schlüssel ({key}); mit 'pki csr' einen neuen erzeugen",
}

var germanNetwork = map[Code]string{
	InterfaceUnknown:  "es gibt keine Schnittstelle '{interface}'; Schnittstellen sind a, b, c und d",
	InterfaceAbsent:   "Schnittstelle {interface} hat keine Netzwerkkarte; diese Maschine hat {present!}: eine davon verwenden oder eine Karte hinzufügen",
	AddressBad:        "{address} kann nicht die Adresse der Schnittstelle {interface} sein: {reason!}; 'ipv4 {interface} add <address>/<prefix> <gateway>' eingeben, etwa mit 10.0.0.5/24 10.0.0.1",
	GatewayBad:        "{gateway} kann nicht das Gateway der Schnittstelle {interface} sein: {reason!}; einen Router desselben Subnetzes angeben, etwa 'ipv4 {interface} add 10.0.0.5/24 10.0.0.1'",
	SubnetTwice:       "die Schnittstellen {interface} und {other} wären beide in {subnet}; einer von ihnen eine Adresse eines anderen Subnetzes geben oder 'ipv4 {other} disable'",
	MTUBad:            "eine MTU von {mtu} ist für Schnittstelle {interface} nicht erlaubt; 576 bis 9216 angeben, etwa 'iface {interface} mtu 1500'",
	MTURefused:        "die Netzwerkkarte der Schnittstelle {interface} nimmt keine MTU von {mtu} an; eine kleinere angeben, etwa 'iface {interface} mtu 1500'",
	HostnameBad:       "'{hostname}' ist kein Hostname; Buchstaben, Ziffern und Bindestriche verwenden, höchstens 63 zwischen zwei Punkten, etwa 'hostname cb1'",
	RecordBad:         "'{record}' ist kein Eintrag: {reason!}; A, AAAA, SRV oder CNAME wie in einer Zonendatei angeben, etwa 'dns add rr \"cb1.example.com. 86400 IN A 10.0.0.5\"'",
	RecordClash:       "{name} wäre ein Alias (CNAME) und hätte zugleich andere Einträge; einen davon mit 'dns del rr {name} <type>' löschen",
	RecordLoop:        "die Aliase (CNAME) von {name} führen zu ihm zurück; einen davon auf einen Namen mit Adresse zeigen lassen",
	ZoneBad:           "'{domain}' ist keine Domäne; eine wie example.com angeben oder . für alle Namen",
	NameServerBad:     "'{server}' kann kein Nameserver sein; die Adresse von einem angeben, etwa 'dns add forwardzone . 10.0.0.53'",
	NoNameServer:      "für {name} ist kein Nameserver bekannt; einen mit 'dns add forwardzone . <address>' hinzufügen oder den Eintrag selbst mit 'dns add rr <record>'",
	NameServersSilent: "keine brauchbare Antwort für {name} von {servers!}; prüfen, ob die Adresse stimmt ('dns') und erreichbar ist ('ping')",
	LookupKindBad:     "'{kind}' kann nicht nachgeschlagen werden; a, aaaa oder srv verwenden",
	LookupNameBad:     "'{name}' ist kein Domänenname; einen wie cb1.example.com angeben",
	HostNotFound:      "{host} hat keine Adresse; den Namen mit 'dns lookup a {host}' prüfen",
	PingSilent:        "keine Antwort von {host} ({address}); die Adresse, ihre Verbindung und Firewalls auf dem Weg prüfen",
	PingUnsent:        "an {host} kann nichts gesendet werden ({reason!}); Adresse und Gateway mit 'ipv4 a' prüfen",
	PingDenied:        "der Kernel erlaubt diesem Prozess kein Ping; net.ipv4.ping_group_range so setzen, dass die Gruppe des Prozesses darin liegt",
	AddressFixed:      "dieser Knoten ist ein Prozess, und seine Adresse {address} kommt von '-a'; ihn anhalten und mit anderem -a starten",
	PortDenied:        "dieser Prozess darf Port {port} der Schnittstelle {interface} nicht öffnen; ihn als root starten oder es mit 'sysctl net.ipv4.ip_unprivileged_port_start={port}' erlauben",
	PortTaken:         "Port {port} der Schnittstelle {interface} ist von einem anderen Programm belegt; es anhalten oder einen anderen Port verwenden",
}
