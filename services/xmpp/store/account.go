package store

import (
	"parley/services/problem"
)

// Account is an account as lists show it.
type Account struct {
	Name string
	// Pending messages wait in its inbox.
	Pending int
	// Elsewhere says that its password is kept elsewhere, and Gone that it is not
	// listed there any more.
	Elsewhere, Gone bool
}

func (t *tables) accountAdd(o *AccountAdd) (Result, error) {
	if err := checkKeys(o.Name); err != nil {
		return Result{Err: err}, nil
	}
	if t.accounts.Get([]byte(o.Name)) != nil {
		return Result{Err: problem.New(problem.UserExists, "name", o.Name)}, nil
	}
	return Result{}, t.accounts.Put([]byte(o.Name), o.Verifiers)
}

func (t *tables) accountSet(o *AccountSet) (Result, error) {
	if !t.account(o.Name) {
		return Result{Err: problem.New(problem.UserUnknown, "name", o.Name)}, nil
	}
	return Result{}, t.accounts.Put([]byte(o.Name), o.Verifiers)
}

func (t *tables) accountImport(o *AccountImport) (Result, error) {
	twice := map[string]bool{}
	for i := range o.Accounts {
		name := o.Accounts[i].Name
		if err := checkKeys(name); err != nil {
			return Result{Err: err}, nil
		}
		if t.account(name) || twice[name] {
			return Result{Err: problem.New(problem.UserExists, "name", name)}, nil
		}
		twice[name] = true
	}
	for i := range o.Accounts {
		if res, err := t.accountAdd(&o.Accounts[i]); err != nil || res.Err != nil {
			return res, err
		}
	}
	return Result{}, nil
}

func (t *tables) accountDel(o *AccountDel) (Result, error) {
	if !t.account(o.Name) {
		return Result{Err: problem.New(problem.UserUnknown, "name", o.Name)}, nil
	}
	self := o.Name + "@" + o.Domain
	entries, err := t.entries(o.Name)
	if err != nil {
		return Result{}, err
	}
	var res Result
	for _, e := range entries {
		effects, err := t.cancel(o.Domain, self, e)
		if err != nil {
			return Result{}, err
		}
		for _, ef := range effects {
			if ef.Kind != Push || ef.Account != o.Name {
				res.Effects = append(res.Effects, ef)
			}
		}
	}
	name := []byte(o.Name)
	if err := clearUnder(t.roster, under(o.Name)); err != nil {
		return Result{}, err
	}
	if err := clearUnder(t.inbox, under(o.Name)); err != nil {
		return Result{}, err
	}
	if err := t.versions.Delete(name); err != nil {
		return Result{}, err
	}
	if err := t.pending.Delete(name); err != nil {
		return Result{}, err
	}
	return res, t.accounts.Delete(name)
}

// account says whether there is one of that name.
func (t *tables) account(name string) bool {
	return name != "" && len(name) <= maxKey && t.accounts.Get([]byte(name)) != nil
}
