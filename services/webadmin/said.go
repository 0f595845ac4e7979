package webadmin

import (
	"parley/services/diagnosis"
	"parley/services/phrase"
	"parley/services/problem"
)

// said is what services say, in German.
var said = phrase.New(problem.German(), diagnosis.Sentences(), saidRows, saidFaults, saidLink)

// saidRows are those of Status > General that the Call Bridge fills in, and what
// stands for a time in them, which comes after "vor" and "seit".
var saidRows = map[string]string{
	"connected to {server} (secure) for {time}":                  "verbunden mit {server} (gesichert) seit {time!}",
	"failed to connect due to {reason} ({time} ago)":             "Verbindung fehlgeschlagen: {reason!} (vor {time!})",
	"failed to connect to {server} due to {reason} ({time} ago)": "Verbindung mit {server} fehlgeschlagen: {reason!} (vor {time!})",
	"connecting":                         "Verbindung wird aufgebaut",
	"not configured":                     "nicht konfiguriert",
	"disabled; type 'callbridge enable'": "ausgeschaltet; 'callbridge enable' eingeben",
	"dns error":                          "DNS-Fehler",
	"connection failure":                 "Server nicht erreicht",
	"certificate failure":                "Zertifikat nicht anerkannt",
	"authentication failure":             "Authentifizierung abgelehnt",
	"service unavailable":                "Dienst nicht verfügbar",

	"no authentication components found":                                              "keine Authentifizierungskomponente gefunden",
	"registered for {time} ({components})":                                            "registriert seit {time!} ({components!})",
	"LDAP server {server} cannot be asked; see 'callbridge directory' ({components})": "LDAP-Server {server} kann nicht gefragt werden; siehe 'callbridge directory' ({components!})",
	"1 authentication component":                                                      "1 Authentifizierungskomponente",
	"{n} authentication components":                                                   "{n} Authentifizierungskomponenten",
	"1 authentication component found":                                                "1 Authentifizierungskomponente gefunden",
	"{n} authentication components found":                                             "{n} Authentifizierungskomponenten gefunden",

	"1 day": "1 Tag", "{n} days": "{n} Tagen",
	"1 hour": "1 Stunde", "{n} hours": "{n} Stunden",
	"1 minute": "1 Minute", "{n} minutes": "{n} Minuten",
	"1 second": "1 Sekunde", "{n} seconds": "{n} Sekunden",
}
