package store

import "slices"

// outbound changes the sender's entry by its own stanza and says whether the
// stanza goes on to the contact (RFC 6121 Appendix A.2).
func outbound(e *Entry, kind string) (route bool) {
	switch kind {
	case "subscribe":
		e.Ask = e.Ask || !e.To
		return true
	case "unsubscribe":
		e.To, e.Ask = false, false
		return true
	case "subscribed":
		if e.Request == nil {
			return false
		}
		e.From, e.Request = true, nil
		return true
	case "unsubscribed":
		route = e.From || e.Request != nil
		e.From, e.Request = false, nil
	}
	return route
}

// inbound changes the recipient's entry by the contact's stanza and says
// whether the recipient is to see it (RFC 6121 Appendix A.3).
func inbound(e *Entry, kind string, stanza []byte) (deliver bool) {
	switch kind {
	case "subscribe":
		if e.From || e.Request != nil {
			return false
		}
		e.Request = append([]byte{}, stanza...)
		return true
	case "unsubscribe":
		deliver = e.From || e.Request != nil
		e.From, e.Request = false, nil
	case "subscribed":
		if !e.Ask {
			return false
		}
		e.To, e.Ask = true, false
		return true
	case "unsubscribed":
		deliver = e.To || e.Ask
		e.To, e.Ask = false, false
	}
	return deliver
}

var subscriptionTypes = []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"}

func (t *tables) subscription(o *Subscription) (Result, error) {
	if err := checkKeys(o.From, o.To, o.Domain); err != nil || o.From == o.To || !slices.Contains(subscriptionTypes, o.Type) {
		return Result{Err: ErrOp}, nil
	}
	effects, err := t.subscribe(o.Domain, o.From, o.To, o.Type, o.Stanza)
	return Result{Effects: effects}, err
}

// subscribe does both sides of one stanza, as far as they are accounts here.
// The order of effects is the one in which RFC 6121 §3 has them sent: the
// sender's push, the stanza, the recipient's push, then presence.
func (t *tables) subscribe(domain, from, to, kind string, stanza []byte) ([]Effect, error) {
	var effects []Effect
	// sender is an account here, wasFrom: with presence that To gets.
	sender, wasFrom := false, false
	if account, ok := local(from, domain); ok && t.account(account) {
		e, err := t.entry(account, to)
		if err != nil {
			return nil, err
		}
		before := e.shows()
		sender, wasFrom = true, e.From
		if !outbound(&e, kind) {
			return nil, nil
		}
		if effects, err = t.change(account, e, before, effects); err != nil {
			return nil, err
		}
	}
	account, here := local(to, domain)
	if !here {
		effects = append(effects, Effect{Kind: Send, From: from, To: to, Type: kind})
		return presence(effects, from, to, kind, sender, wasFrom), nil
	}
	if !t.account(account) {
		// Silently, lest accounts be guessed (RFC 6121 §8.5.1).
		return effects, nil
	}
	e, err := t.entry(account, from)
	if err != nil {
		return nil, err
	}
	before := e.shows()
	if kind == "subscribe" && e.From {
		// Already allowed: answered in the contact's name (§3.1.3).
		again, err := t.answer(domain, to, from)
		return append(effects, again...), err
	}
	deliver := inbound(&e, kind, stanza)
	if deliver {
		effects = append(effects, Effect{Kind: Send, From: from, To: to, Type: kind})
		if effects, err = t.change(account, e, before, effects); err != nil {
			return nil, err
		}
	}
	if kind == "unsubscribe" && before.from {
		return append(effects, Effect{Kind: Unavailable, From: to, To: from}), nil
	}
	return presence(effects, from, to, kind, sender, wasFrom), nil
}

// presence is what follows an outbound subscribed or unsubscribed of an
// account here.
func presence(effects []Effect, from, to, kind string, sender, wasFrom bool) []Effect {
	switch {
	case kind == "subscribed" && sender:
		return append(effects, Effect{Kind: Available, From: from, To: to})
	case kind == "unsubscribed" && wasFrom:
		return append(effects, Effect{Kind: Unavailable, From: from, To: to})
	}
	return effects
}

// answer sends subscribed from an account that has allowed it before.
func (t *tables) answer(domain, from, to string) ([]Effect, error) {
	effects := []Effect{{Kind: Send, From: from, To: to, Type: "subscribed"}}
	if account, ok := local(to, domain); ok && t.account(account) {
		e, err := t.entry(account, from)
		if err != nil {
			return nil, err
		}
		before := e.shows()
		if !inbound(&e, "subscribed", nil) {
			return nil, nil
		}
		if effects, err = t.change(account, e, before, effects); err != nil {
			return nil, err
		}
	}
	return append(effects, Effect{Kind: Available, From: from, To: to}), nil
}

// cancel ends what is between self and the contact of its entry, in both
// directions, as far as there is something.
func (t *tables) cancel(domain, self string, e Entry) ([]Effect, error) {
	var all []Effect
	for _, end := range []struct {
		needed bool
		kind   string
	}{{e.To || e.Ask, "unsubscribe"}, {e.From || e.Request != nil, "unsubscribed"}} {
		if !end.needed {
			continue
		}
		effects, err := t.subscribe(domain, self, e.Contact, end.kind, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, effects...)
	}
	return all, nil
}

// change stores an entry and appends a push where clients see a difference.
// What was shown once stays listed until it is removed.
func (t *tables) change(account string, e Entry, before shows, effects []Effect) ([]Effect, error) {
	e.Listed = e.Listed || before.shown || e.Shown()
	if err := t.putEntry(account, e); err != nil {
		return nil, err
	}
	if e.shows() == before {
		return effects, nil
	}
	ef, err := t.push(account, e)
	return append(effects, ef), err
}
