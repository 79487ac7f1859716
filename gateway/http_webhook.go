package gateway

import "net/http"

const webhookPath = "/v1/payments/webhook"

// webhook is the payment provider's door. It shows no token, but signs what it sends, and sends more than phones may;
// the handler checks the one and bounds the other.
func (g *door) webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body // before it is bounded for phones
		g.guarded(webhookPath, methods{"POST": func(w http.ResponseWriter, r *http.Request) {
			r.Body = body
			g.cfg.Webhook.ServeHTTP(w, r)
		}}).ServeHTTP(w, r)
	})
}
