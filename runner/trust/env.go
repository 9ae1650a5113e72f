package trust

// variables name a bundle to programs that look for it in the environment. Most of what is here brings roots of its
// own and does not look at the system's; SSL_CERT_DIR is not here, because it could only take away.
var variables = []string{
	"SSL_CERT_FILE",       // OpenSSL, Go, Ruby, Python, rustls-native-certs, .NET, uv, composer, bun
	"NIX_SSL_CERT_FILE",   // what Nix builds
	"CURL_CA_BUNDLE",      // curl, and requests after the next
	"REQUESTS_CA_BUNDLE",  // Python's requests, which otherwise takes certifi's
	"HTTPLIB2_CA_CERTS",   // Python's httplib2
	"PIP_CERT",            // pip
	"AWS_CA_BUNDLE",       // the AWS CLI and SDKs
	"GIT_SSL_CAINFO",      // git
	"CARGO_HTTP_CAINFO",   // cargo
	"NODE_EXTRA_CA_CERTS", // Node.js
	"npm_config_cafile",   // npm, pnpm, Yarn 1
	"DENO_CERT",           // Deno
	"PERL_LWP_SSL_CA_FILE",
	"HEX_CACERTS_PATH", // Elixir's mix
	"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", // gRPC in C++, Python, Ruby and PHP
}

// Env names a bundle to the programs that look for it in the environment.
func Env(bundle string) []string {
	env := make([]string, 0, len(variables))
	for _, name := range variables {
		env = append(env, name+"="+bundle)
	}
	return env
}

// HostBundles are where a machine's own roots may lie, the likeliest first.
func HostBundles() []string { return bundles }
