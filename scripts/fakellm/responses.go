package fakellm

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// request is the part of a Responses request that the answer follows from.
type request struct {
	Model string
	Input []struct {
		Type, Role string
		Content    json.RawMessage
	}
}

func (r request) texts() (texts []string, results int) {
	for _, item := range r.Input {
		switch {
		case item.Type == "function_call_output", item.Type == "custom_tool_call_output":
			results++
		case item.Role == "user":
			var blocks []block
			_ = json.Unmarshal(item.Content, &blocks)
			for _, b := range blocks {
				texts = append(texts, b.Text)
			}
		}
	}
	return texts, results
}

// responses answers as OpenAI's API does.
func (v *Vendor) responses(w http.ResponseWriter, body []byte) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	texts, results := r.texts()
	s := read(texts)
	item := map[string]any{"type": "message", "id": "msg_fake", "role": "assistant", "content": []any{map[string]any{"type": "output_text", "text": s.say, "annotations": []any{}}}}
	if s.file != "" && results == 0 {
		item = edit(s)
	}
	e := stream(w)
	e.send("response.created", map[string]any{"response": map[string]any{"id": "resp_fake", "object": "response", "status": "in_progress"}})
	e.send("response.output_item.done", map[string]any{"output_index": 0, "item": item})
	e.send("response.completed", map[string]any{"response": map[string]any{"id": "resp_fake", "object": "response", "status": "completed", "output": []any{item},
		"usage": map[string]any{"input_tokens": 10, "output_tokens": 10, "total_tokens": 20, "input_tokens_details": map[string]int{"cached_tokens": 0}, "output_tokens_details": map[string]int{"reasoning_tokens": 0}}}})
}

// edit asks for the one tool that newer agents have: a script in which the others are called.
func edit(s script) map[string]any {
	patch, _ := json.Marshal(fmt.Sprintf("*** Begin Patch\n*** Update File: %s\n@@\n-%s\n+%s\n*** End Patch\n", s.file, s.old, s.new))
	return map[string]any{"type": "custom_tool_call", "id": "ctc_fake", "call_id": "call_fake", "name": "exec",
		"input": fmt.Sprintf("text(await tools.apply_patch(%s))", patch)}
}
