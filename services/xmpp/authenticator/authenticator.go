// Package authenticator is what XMPP servers and the components that check
// passwords for them say to each other: the elements, and the seal on a
// password's way. It sends nothing, and decides nothing.
package authenticator

import (
	"strconv"

	"parley/services/config"
	"parley/services/xmpp/stanza"
)

// NS is the namespace of all elements. They are the one child of IQs between
// the component and the domain.
//
// The component says <offer key='…'/> while it can be asked, <withdraw/> when it
// cannot, and <person name='…'/> elements in <people/> of those who exist (Listing).
// Offer and withdraw are answered with how many offer now: <offers count='…'/>.
// The domain asks <check user='…'>sealed</check>, to which
// <right/> and <wrong/> are answers, and an error where it was not decided.
const NS = "urn:parley:authentication:0"

// Offer is for the owner of key to be asked.
func Offer(key Key) *stanza.Element {
	return stanza.New(NS, "offer", "key", key.Public())
}

// Withdraw takes an offer back.
func Withdraw() *stanza.Element { return stanza.New(NS, "withdraw") }

// Offers says that so many offer.
func Offers(n int) *stanza.Element { return stanza.New(NS, "offers", "count", strconv.Itoa(n)) }

// ReadOffers reads the IQ that says how many offer, 0 for any other.
func ReadOffers(iq *stanza.Element) int {
	e := iq.First()
	if iq.Attr("type") != "result" || e == nil || !e.Is(NS, "offers") {
		return 0
	}
	n, err := strconv.Atoi(e.Attr("count"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Check asks whether password is user's. The error is that key, an offer's, is
// none.
func Check(key, user string, password config.Secret) (*stanza.Element, error) {
	sealed, err := seal(key, user, password)
	if err != nil {
		return nil, err
	}
	return stanza.New(NS, "check", "user", user).AddText(sealed), nil
}

// Question reads what Check has made; ok says that it was for the owner of key.
func Question(e *stanza.Element, key Key) (user string, password config.Secret, ok bool) {
	user = e.Attr("user")
	password, err := key.open(e.Text(), user)
	return user, password, err == nil && user != ""
}

// Verdict is the answer to a question.
func Verdict(right bool) *stanza.Element {
	if right {
		return stanza.New(NS, "right")
	}
	return stanza.New(NS, "wrong")
}

// ReadVerdict reads the IQ that has one; decided is false for any other.
func ReadVerdict(iq *stanza.Element) (right, decided bool) {
	e := iq.First()
	if iq.Attr("type") != "result" || e == nil {
		return false, false
	}
	right = e.Is(NS, "right")
	return right, right || e.Is(NS, "wrong")
}
