package store

import "parley/services/problem"

// CallBridge is a registered component <Name>.<domain> and its secret.
type CallBridge struct{ Name, Secret string }

func (t *tables) bridgeAdd(o *BridgeAdd) (Result, error) {
	if err := checkKeys(o.Name); err != nil {
		return Result{Err: err}, nil
	}
	if t.bridges.Get([]byte(o.Name)) != nil {
		return Result{Err: problem.New(problem.BridgeExists, "name", o.Name)}, nil
	}
	return Result{}, t.bridges.Put([]byte(o.Name), []byte(o.Secret))
}

func (t *tables) bridgeDel(o *BridgeDel) (Result, error) {
	if err := checkKeys(o.Name); err != nil || t.bridges.Get([]byte(o.Name)) == nil {
		return Result{Err: problem.New(problem.BridgeUnknown, "name", o.Name)}, nil
	}
	return Result{}, t.bridges.Delete([]byte(o.Name))
}
