package httpapi

import "net/http"

const webhookPath = "/v1/payments/webhook"

// webhook is where the payment provider calls. It shows no token, but signs
// what it sends, and sends more than phones may; the handler checks the one and
// bounds the other.
func (a *API) webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body // before it is bounded for phones
		a.guardRoute(webhookPath, methods{"POST": func(w http.ResponseWriter, r *http.Request) {
			r.Body = body
			a.cfg.Webhook.ServeHTTP(w, r)
		}}).ServeHTTP(w, r)
	})
}
