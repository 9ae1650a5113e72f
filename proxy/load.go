package proxy

import (
	"errors"
	"net/http"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// load gets what service adds to r ready, before anything is dialled. When it cannot,
// it has answered r.
func (t *trip) load(r *http.Request, set *policy.Set, service *policy.Service) (ok bool) {
	if len(service.Keys()) > 0 {
		switch {
		case !t.secure:
			t.x.refuse(plainCredential(service.Name))
			return false
		case echoes(r):
			t.x.refuse(traceRefused(service.Name))
			return false
		}
	}
	t.x.purse = &purse{ctx: r.Context(), session: t.session, meter: t.lease.meter, host: t.target.Host}
	t.grant.purse.Store(t.x.purse)
	var err error
	if t.fillings, err = fill(service.Auth, t.x.purse); err == nil {
		// What the proxy takes away is not searched: a placeholder there fetches nothing.
		stripProxy(r.Header)
		inject.Clear(r, t.fillings)
		err = substitute(t.x, r, t.route, set, service)
	}
	if _, waited := r.Body.(*heldBody); err == nil && waited {
		// What was fetched first may have been taken away while the body came.
		err = t.x.purse.recheck()
	}
	if err != nil {
		t.x.refuse(t.unloaded(r, service, err))
		return false
	}
	if marks := t.x.purse.marks(service, policy.InWebSocket); len(marks) > 0 && t.upgrade != "" {
		t.frames = &inject.Frames{Marks: marks, Watch: watch(service, policy.InWebSocket), Limit: maxMessage}
	}
	return true
}

// unloaded says why load failed. Where the client is gone it does not return.
func (t *trip) unloaded(r *http.Request, service *policy.Service, err error) refusal {
	if bad := t.x.link.malformed(); bad != nil {
		t.x.closing = true
		return badRequest("malformed", bad.reason)
	}
	switch {
	case errors.Is(err, vault.ErrNoSession):
		return sessionEnded()
	case t.x.cut.Load() != nil && t.ended(r.Context()) == "":
		return *t.x.cut.Load()
	case errors.Is(err, errBodyTooSlow) && t.ended(r.Context()) == "":
		// Before the context, as for what is malformed.
		t.x.closing = t.x.major == 1 // the rest of it may still come
		return bodyTooSlow(service.Name)
	case r.Context().Err() != nil:
		t.x.abandon(t.reasonOf(r.Context()))
	case errors.Is(err, errBodyBroken):
		t.x.abandon(reasonGone)
	case errors.Is(err, errBodyTooLarge):
		return bodyTooLarge(service.Name)
	case errors.Is(err, inject.ErrGrown):
		return grownTooLarge(service.Name)
	case errors.Is(err, errLeads), errors.Is(err, inject.ErrShape):
		return pathLeads(service.Name)
	case errors.Is(err, errUnknownAuth):
		return unknownAuth(service.Name, service.Auth.Type)
	}
	if unknown, ok := errors.AsType[*inject.UnknownError](err); ok {
		return unknownPlaceholder(service, unknown)
	}
	key := "of its templates"
	if named, ok := errors.AsType[*inject.KeyError](err); ok {
		key = named.Key
	}
	fast, isFast := errors.AsType[*tooFastError](err)
	switch {
	case isFast:
		return credentialRateLimited(service.Name, key, fast)
	case errors.Is(err, vault.ErrNoCredential):
		return missingCredential(service.Name, key)
	case errors.Is(err, vault.ErrBound):
		return boundCredential(service.Name, key, t.target.Host)
	case errors.Is(err, inject.ErrUnfit):
		return unfitCredential(service.Name, key)
	case errors.Is(err, inject.ErrColon):
		return colonCredential(service.Name, key)
	}
	t.x.link.log.Error("cannot use a credential", "key", key, "err", err)
	return unusableCredential(service.Name, key)
}
