package model

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// responses answers in the form of POST /v1/responses: one output item with one
// text, as server-sent events.
func (s *Server) responses(w http.ResponseWriter, _ *http.Request) {
	s.asked.Add(1)
	item := map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
		"content": []any{map[string]any{"type": "output_text", "text": s.text, "annotations": []any{}}},
	}
	response := map[string]any{
		"id": "resp_1", "object": "response", "status": "completed", "output": []any{item},
		"usage": map[string]any{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
	}
	for _, e := range []map[string]any{
		{"type": "response.created", "response": map[string]any{"id": "resp_1", "object": "response", "status": "in_progress"}},
		{"type": "response.output_item.done", "output_index": 0, "item": item},
		{"type": "response.completed", "response": response},
	} {
		if !event(w, e["type"], e) {
			return
		}
	}
}

// generate answers in the form of models/NAME:streamGenerateContent, or without
// a stream to everything else that asks about a model.
func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	answer := map[string]any{
		"candidates": []any{map[string]any{
			"content": map[string]any{"role": "model", "parts": []any{map[string]string{"text": s.text}}}, "finishReason": "STOP", "index": 0,
		}},
		"usageMetadata": map[string]int{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
	}
	if r.URL.Query().Get("alt") == "sse" {
		event(w, nil, answer)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// event writes one server-sent event; false: the client is gone.
func event(w http.ResponseWriter, name any, data any) bool {
	w.Header().Set("Content-Type", "text/event-stream")
	b, err := json.Marshal(data)
	if err != nil {
		return false
	}
	if name != nil {
		if _, err := fmt.Fprintf(w, "event: %v\n", name); err != nil {
			return false
		}
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", b)
	return err == nil
}
