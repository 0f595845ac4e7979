package mmp

import "parley/services/config"

func pkiFamily() family                      { return family{name: "pki"} }
func (c *call) checkCerts(config.XMPP) error { return nil }
