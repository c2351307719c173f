package blocklist

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// minToken is what a token has to have in octets: nobody guesses 128 bits.
const minToken = 16

// maxRequest bounds the body of a request.
const maxRequest = 8 << 10

// Handler lets people with token see and change the entries of d over HTTP.
// Serve it on a loopback address or a Unix socket only: it has no TLS of its own
// and counts no failed tries. A token is at least 16 octets from a random
// source, and is sent as "Authorization: Bearer TOKEN".
//
//	GET    /entries                                  all entries
//	POST   /entries                                  adds {"kind": "addr", "value": "192.0.2.1", "word": "block", "source": "ann", "reason": "…", "expires": "2026-01-02T15:04:05Z"}
//	DELETE /entries?kind=addr&value=192.0.2.1&by=ann&why=…
//	GET    /changes?n=100                            the record, newest first
//
// A time in seconds, "ttl": 3600, may stand for "expires"; with neither, the
// configured TTL counts. Answers are JSON, those to failures {"error": "…"}. 202
// means that a change is in force in this process and not yet in the store, 409
// that there is no room for an entry.
func Handler(d *Dynamic, token string) (http.Handler, error) {
	if d == nil {
		return nil, errors.New("blocklist: Handler without a Dynamic")
	}
	if len(token) < minToken {
		return nil, errors.New("blocklist: Handler's token is shorter than 16 octets")
	}
	h := &handler{d: d, token: sha256.Sum256([]byte(token))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /entries", h.list)
	mux.HandleFunc("POST /entries", h.add)
	mux.HandleFunc("DELETE /entries", h.remove)
	mux.HandleFunc("GET /changes", h.changes)
	h.mux = mux
	return h, nil
}

type handler struct {
	d     *Dynamic
	token [sha256.Size]byte
	mux   *http.ServeMux
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(given)) // of one length, whatever was sent
	if !ok || subtle.ConstantTimeCompare(sum[:], h.token[:]) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		fail(w, http.StatusUnauthorized, errors.New("the token is missing or wrong"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

func (h *handler) list(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.d.List())
}

func (h *handler) add(w http.ResponseWriter, r *http.Request) {
	var req struct {
		jsonItem
		TTL int `json:"ttl"` // seconds
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		fail(w, http.StatusBadRequest, errors.New("there is something after the entry"))
		return
	}
	if req.Auto || !req.Added.IsZero() {
		fail(w, http.StatusBadRequest, errors.New("auto and added are not for the caller to say"))
		return
	}
	e := Entry{Kind: req.Kind, Value: req.Value, Word: req.Word, Reason: req.Reason, Source: req.Source, Expires: req.Expires}
	if req.TTL != 0 {
		const most = 100 * 365 * 24 * 3600 // so that nothing overflows; MaxTTL is for Add
		if req.TTL < 0 || req.TTL > most || !e.Expires.IsZero() {
			fail(w, http.StatusBadRequest, errors.New("ttl is out of range, or beside expires"))
			return
		}
		e.Expires = time.Now().Add(time.Duration(req.TTL) * time.Second)
	}
	err := h.d.Add(r.Context(), e)
	if it, ok := h.d.Get(e.Kind, e.Value); ok && kept(err) {
		answer(w, status(err, http.StatusCreated), it)
		return
	}
	h.done(w, err)
}

func (h *handler) remove(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var kind Kind
	if err := kind.UnmarshalText([]byte(q.Get("kind"))); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	h.done(w, h.d.Remove(r.Context(), kind, q.Get("value"), q.Get("by"), q.Get("why")))
}

func (h *handler) changes(w http.ResponseWriter, r *http.Request) {
	n := 100
	if text := r.URL.Query().Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			fail(w, http.StatusBadRequest, errors.New("n is no positive number"))
			return
		}
	}
	cs, err := h.d.Audit(r.Context(), n)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	if cs == nil {
		cs = []Change{}
	}
	answer(w, http.StatusOK, cs)
}

// done answers for a change.
func (h *handler) done(w http.ResponseWriter, err error) {
	if kept(err) {
		answer(w, status(err, http.StatusOK), struct{}{})
		return
	}
	fail(w, status(err, http.StatusOK), err)
}

// kept reports whether a change is in force.
func kept(err error) bool { return err == nil || errors.Is(err, ErrNotKept) }

// status is the code for how a change ended.
func status(err error, fine int) int {
	switch {
	case err == nil:
		return fine
	case errors.Is(err, ErrNotKept):
		return http.StatusAccepted
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrFull):
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

func fail(w http.ResponseWriter, code int, err error) {
	answer(w, code, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // whose error is that nobody reads it
}
