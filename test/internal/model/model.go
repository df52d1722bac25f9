// Package model is a model endpoint small enough for tests: it answers every
// message of an agent with one fixed text, streamed as server-sent events.
package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers on all addresses of the machine, so that a policy has
// something to close.
type Server struct {
	srv   *http.Server
	port  int
	text  string
	asked atomic.Int64

	mu    sync.Mutex
	heard []string // the last requests
}

// Serve starts a server that answers with text.
func Serve(text string) (*Server, error) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return nil, err
	}
	s := &Server{text: text, port: l.Addr().(*net.TCPAddr).Port}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.hear(s.messages))
	mux.HandleFunc("POST /v1/responses", s.hear(s.responses))
	mux.HandleFunc("POST /v1beta/models/", s.hear(s.generate))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.asked.Add(1); _, _ = w.Write([]byte("{}\n")) })
	s.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.srv.Serve(l) }()
	return s, nil
}

// Port is the TCP port.
func (s *Server) Port() int { return s.port }

// Asked is how many requests came.
func (s *Server) Asked() int { return int(s.asked.Load()) }

// maxHeard and maxBody bound what is remembered of requests.
const (
	maxHeard = 50
	maxBody  = 4 << 20
)

// hear remembers what is asked.
func (s *Server) hear(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err != nil {
			http.Error(w, "cut off", http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.heard = append(s.heard, string(b))
		s.heard = s.heard[max(0, len(s.heard)-maxHeard):]
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(b))
		next(w, r)
	}
}

// Heard reports whether one request held all of the words.
func (s *Server) Heard(words ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.heard, func(body string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(body, w) })
	})
}

// Close ends it.
func (s *Server) Close() { _ = s.srv.Close() }

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	var ask struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	usage := map[string]int{"input_tokens": 1, "output_tokens": 1}
	message := map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "model": ask.Model, "usage": usage,
		"stop_sequence": nil, "stop_reason": nil, "content": []any{},
	}
	if !ask.Stream {
		message["content"] = []any{map[string]string{"type": "text", "text": s.text}}
		message["stop_reason"] = "end_turn"
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(message)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range []struct {
		name string
		data map[string]any
	}{
		{"message_start", map[string]any{"message": message}},
		{"content_block_start", map[string]any{"index": 0, "content_block": map[string]string{"type": "text", "text": ""}}},
		{"content_block_delta", map[string]any{"index": 0, "delta": map[string]string{"type": "text_delta", "text": s.text}}},
		{"content_block_stop", map[string]any{"index": 0}},
		{"message_delta", map[string]any{"delta": map[string]any{"stop_reason": "end_turn", "stop_sequence": nil}, "usage": usage}},
		{"message_stop", map[string]any{}},
	} {
		e.data["type"] = e.name
		data, err := json.Marshal(e.data)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.name, data); err != nil {
			return
		}
	}
}
