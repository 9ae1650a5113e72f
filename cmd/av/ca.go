package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func caCommand(e *env) *cobra.Command {
	return inVault(group("ca", "the vault's local certificate authority", caPrint(e)))
}

func caPrint(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "print",
		Short: "print the certificate (PEM) that clients of the proxy have to trust",
		Long: `Print the certificate of the vault's local CA as PEM. Programs outside a box that use the
proxy have to trust it; in a box av has seen to that. It is no secret; its key is, and is
never printed.`,
		Example: "  av ca print > av-ca.pem",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				certificate, err := v.Certificate(ctx, vault.Owner())
				if err != nil {
					return err
				}
				_, err = e.stdout.Write(certificate)
				return err
			})
		},
	}
}
