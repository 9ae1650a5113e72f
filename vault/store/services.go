package store

import "fmt"

// Service is a service's name and its JSON.
type Service struct{ Name, Body string }

// Services lists a vault's services in the order of the file that set them.
func (t *Tx) Services(vault string) ([]Service, error) {
	return collect(t, func(scan func(...any) error) (s Service, err error) {
		err = scan(&s.Name, &s.Body)
		return s, err
	}, "SELECT name, body FROM services WHERE vault_id = ? ORDER BY position", vault)
}

// ReplaceServices replaces all of a vault's services.
func (t *Tx) ReplaceServices(vault string, services []Service) error {
	if _, err := t.exec("DELETE FROM services WHERE vault_id = ?", vault); err != nil {
		return err
	}
	for i, s := range services {
		if _, err := t.exec("INSERT INTO services (vault_id, position, name, body) VALUES (?, ?, ?, ?)",
			vault, i, s.Name, s.Body); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return nil
}
