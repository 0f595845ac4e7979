package watch

import (
	"context"

	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

// Service is one that has to answer, beside XMPP. It cannot tell of its own
// end.
type Service struct {
	// Key of the fault, "network.service", and the service's name for people.
	Key, Name string
	// Wanted says whether it is set up; nil: always.
	Wanted func(config.Document) bool
	// Ask asks it why it does not do its work although it answers: the text of a
	// problem, or "".
	Ask func(ctx context.Context) (trouble string, err error)
}

// unanswered is the fault of a service that gave an error for an answer.
func unanswered(key, name string, err error) finding {
	wrong, fix := parts(problem.Text(err))
	hint := wrong + "; " + fix
	if problem.CodeOf(err) == problem.NotReachable {
		hint = fix
	}
	f := raise(key, eventlogapi.Error, name+" service does not answer", hint)
	f.looks = patienceService
	return f
}

// others are all services but XMPP.
func (w *Watcher) others(ctx context.Context, d config.Document, standing map[string]eventlogapi.Fault) []finding {
	return append(w.services(ctx, d, standing), w.database(ctx, standing)...)
}

func (w *Watcher) services(ctx context.Context, d config.Document, standing map[string]eventlogapi.Fault) []finding {
	var found []finding
	for _, s := range w.deps.Services {
		if s.Wanted != nil && !s.Wanted(d) {
			continue
		}
		if ctx.Err() != nil {
			// Others took all the time; what stood, stands.
			if f, stands := standing[s.Key]; stands {
				found = append(found, finding{Condition{f, eventlogapi.Info}, patienceService})
			}
			found = append(found, keep(standing, found, s.Key+".")...)
			continue
		}
		trouble, err := s.Ask(ctx)
		if err != nil {
			found = append(found, unanswered(s.Key, s.Name, err))
		} else if trouble != "" {
			wrong, fix := parts(trouble)
			found = append(found, raise(s.Key+".trouble", eventlogapi.Error, s.Name+" not running: "+wrong, fix))
		}
	}
	return found
}
