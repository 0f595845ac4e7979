package store

import "parley/services/xmpp/link"

func (*AccountAdd) code() opCode        { return opAccountAdd }
func (*AccountAdd) grows() bool         { return true }
func (o *AccountAdd) encode(e *encoder) { e.str(o.Name); e.bytes(o.Verifiers) }
func (o *AccountAdd) decode(d *decoder) { o.Name = d.str(); o.Verifiers = d.bytes() }

func (*AccountSet) code() opCode        { return opAccountSet }
func (*AccountSet) grows() bool         { return true }
func (o *AccountSet) encode(e *encoder) { e.str(o.Name); e.bytes(o.Verifiers) }
func (o *AccountSet) decode(d *decoder) { o.Name = d.str(); o.Verifiers = d.bytes() }

func (*AccountDel) code() opCode        { return opAccountDel }
func (*AccountDel) grows() bool         { return false }
func (o *AccountDel) encode(e *encoder) { e.str(o.Name); e.str(o.Domain) }
func (o *AccountDel) decode(d *decoder) { o.Name = d.str(); o.Domain = d.str() }

func (*AccountImport) code() opCode { return opAccountImport }
func (*AccountImport) grows() bool  { return true }
func (o *AccountImport) encode(e *encoder) {
	e.uint(uint64(len(o.Accounts)))
	for i := range o.Accounts {
		o.Accounts[i].encode(e)
	}
}
func (o *AccountImport) decode(d *decoder) {
	n := d.count()
	for range n {
		var a AccountAdd
		a.decode(d)
		o.Accounts = append(o.Accounts, a)
	}
}

func (*AccountsListed) code() opCode  { return opAccountsListed }
func (o *AccountsListed) grows() bool { return len(o.Listed) > 0 }
func (o *AccountsListed) encode(e *encoder) {
	e.str(o.Bridge)
	e.str(o.Source)
	e.strs(o.Listed)
	e.strs(o.Missed)
}
func (o *AccountsListed) decode(d *decoder) {
	o.Bridge, o.Source, o.Listed, o.Missed = d.str(), d.str(), d.strs(), d.strs()
}

func (*BridgeAdd) code() opCode        { return opBridgeAdd }
func (*BridgeAdd) grows() bool         { return true }
func (o *BridgeAdd) encode(e *encoder) { e.str(o.Name); e.str(o.Secret) }
func (o *BridgeAdd) decode(d *decoder) { o.Name = d.str(); o.Secret = d.str() }

func (*BridgeDel) code() opCode        { return opBridgeDel }
func (*BridgeDel) grows() bool         { return false }
func (o *BridgeDel) encode(e *encoder) { e.str(o.Name) }
func (o *BridgeDel) decode(d *decoder) { o.Name = d.str() }

func (*RosterSet) code() opCode { return opRosterSet }
func (*RosterSet) grows() bool  { return true }
func (o *RosterSet) encode(e *encoder) {
	e.str(o.Account)
	e.str(o.Contact)
	e.str(o.Name)
	e.strs(o.Groups)
}
func (o *RosterSet) decode(d *decoder) {
	o.Account, o.Contact, o.Name, o.Groups = d.str(), d.str(), d.str(), d.strs()
}

func (*RosterRemove) code() opCode { return opRosterRemove }
func (*RosterRemove) grows() bool  { return false }
func (o *RosterRemove) encode(e *encoder) {
	e.str(o.Account)
	e.str(o.Domain)
	e.str(o.Contact)
}
func (o *RosterRemove) decode(d *decoder) {
	o.Account, o.Domain, o.Contact = d.str(), d.str(), d.str()
}

func (*Subscription) code() opCode { return opSubscription }
func (*Subscription) grows() bool  { return true }
func (o *Subscription) encode(e *encoder) {
	e.str(o.Domain)
	e.str(o.From)
	e.str(o.To)
	e.str(o.Type)
	e.bytes(o.Stanza)
}
func (o *Subscription) decode(d *decoder) {
	o.Domain, o.From, o.To, o.Type, o.Stanza = d.str(), d.str(), d.str(), d.str(), d.bytes()
}

func (o *MessagePut) code() opCode {
	if o.Seq == 0 {
		return opMessagePut
	}
	return opMessagePutOnce
}
func (*MessagePut) grows() bool { return true }
func (o *MessagePut) encode(e *encoder) {
	if o.Seq != 0 {
		e.b = append(e.b, o.Session[:]...)
		e.uint(o.Seq)
	}
	e.str(o.Account)
	e.str(o.Resource)
	e.time(o.Stamp)
	e.bytes(o.Stanza)
}

// decode reads a number where newOp has set one.
func (o *MessagePut) decode(d *decoder) {
	if o.Seq != 0 {
		o.Session, o.Seq = d.session(), d.uint()
		d.bad = d.bad || o.Seq == 0
	}
	o.Account, o.Resource, o.Stamp, o.Stanza = d.str(), d.str(), d.time(), d.bytes()
}

func (*SessionEnd) code() opCode { return opSessionEnd }
func (*SessionEnd) grows() bool  { return false }
func (o *SessionEnd) encode(e *encoder) {
	e.uint(uint64(len(o.IDs)))
	for _, id := range o.IDs {
		e.b = append(e.b, id[:]...)
	}
}
func (o *SessionEnd) decode(d *decoder) {
	n := d.count()
	for range n {
		o.IDs = append(o.IDs, d.session())
	}
}

func (*ClusterSet) code() opCode        { return opClusterSet }
func (*ClusterSet) grows() bool         { return true }
func (o *ClusterSet) encode(e *encoder) { o.Cluster.encode(e) }
func (o *ClusterSet) decode(d *decoder) { o.Cluster.decode(d) }

func (c *Cluster) encode(e *encoder) { e.str(c.ID); e.str(c.Domain); e.bytes(c.SaltKey) }
func (c *Cluster) decode(d *decoder) { c.ID, c.Domain, c.SaltKey = d.str(), d.str(), d.bytes() }

func (*Delivered) code() opCode { return opDelivered }
func (*Delivered) grows() bool  { return false }
func (o *Delivered) encode(e *encoder) {
	e.str(o.Account)
	e.uint(uint64(len(o.Items)))
	for _, it := range o.Items {
		e.uint(uint64(it))
	}
}
func (o *Delivered) decode(d *decoder) {
	o.Account = d.str()
	n := d.count()
	for range n {
		o.Items = append(o.Items, link.Item(d.uint()))
	}
}
