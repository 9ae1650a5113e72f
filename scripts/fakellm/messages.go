package fakellm

import (
	"encoding/json"
	"net/http"
)

// conversation is the part of a Messages request that the answer follows from.
type conversation struct {
	Model    string
	Stream   bool
	Tools    []struct{ Name string }
	Messages []struct {
		Role    string
		Content json.RawMessage // a string, or blocks
	}
}

type block struct{ Type, Text string }

func (c conversation) texts() (texts []string, results int) {
	for _, m := range c.Messages {
		if m.Role != "user" {
			continue
		}
		var text string
		if json.Unmarshal(m.Content, &text) == nil {
			texts = append(texts, text)
			continue
		}
		var blocks []block
		_ = json.Unmarshal(m.Content, &blocks) // what is neither has no text
		for _, b := range blocks {
			if b.Type == "tool_result" {
				results++
			}
			texts = append(texts, b.Text)
		}
	}
	return texts, results
}

// messages answers as Anthropic's API does.
func (v *Vendor) messages(w http.ResponseWriter, body []byte) {
	var c conversation
	if err := json.Unmarshal(body, &c); err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	texts, results := c.texts()
	content, stop := next(read(texts), results, len(c.Tools) > 0)
	message := map[string]any{"id": "msg_fake", "type": "message", "role": "assistant", "model": c.Model,
		"content": []any{content}, "stop_reason": stop, "stop_sequence": nil, "usage": map[string]int{"input_tokens": 10, "output_tokens": 10}}
	if !c.Stream {
		reply(w, http.StatusOK, message)
		return
	}
	message["content"], message["stop_reason"] = []any{}, nil
	e := stream(w)
	e.send("message_start", map[string]any{"message": message})
	begin, delta := map[string]any{"type": "text", "text": ""}, map[string]any{"type": "text_delta", "text": content["text"]}
	if content["type"] == "tool_use" {
		input, _ := json.Marshal(content["input"])
		begin = map[string]any{"type": "tool_use", "id": content["id"], "name": content["name"], "input": map[string]any{}}
		delta = map[string]any{"type": "input_json_delta", "partial_json": string(input)}
	}
	e.send("content_block_start", map[string]any{"index": 0, "content_block": begin})
	e.send("content_block_delta", map[string]any{"index": 0, "delta": delta})
	e.send("content_block_stop", map[string]any{"index": 0})
	e.send("message_delta", map[string]any{"delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}, "usage": map[string]int{"output_tokens": 10}})
	e.send("message_stop", map[string]any{})
}

// next is the block that comes after so many results of tools. An agent reads a file before it edits it.
func next(s script, results int, tools bool) (content map[string]any, stop string) {
	tool := func(name string, input map[string]any) (map[string]any, string) {
		return map[string]any{"type": "tool_use", "id": "toolu_fake_" + name, "name": name, "input": input}, "tool_use"
	}
	switch {
	case s.file != "" && tools && results == 0:
		return tool("Read", map[string]any{"file_path": s.file})
	case s.file != "" && tools && results == 1:
		return tool("Edit", map[string]any{"file_path": s.file, "old_string": s.old, "new_string": s.new})
	}
	return map[string]any{"type": "text", "text": s.say}, "end_turn"
}
