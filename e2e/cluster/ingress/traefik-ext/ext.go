// Package ext stands for the fields that a commercial edition of Traefik adds to its routers. Traefik's module replaces it
// by a folder of its own, which the module as published does not have.
package ext

// HTTP has no fields.
type HTTP struct{}

// Router has no fields.
type Router struct{}
