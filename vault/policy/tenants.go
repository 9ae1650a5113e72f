package policy

// tenants are domains below which each customer of a vendor has a host, and that the public
// suffix list does not have, or has for reasons of its own.
var tenants = set(
	"atlassian.net", "jira.com", "bitbucket.io", "zendesk.com", "freshdesk.com", "freshservice.com", "myfreshworks.com",
	"my.salesforce.com", "sandbox.my.salesforce.com", "lightning.force.com", "my.site.com", "service-now.com",
	"okta.com", "oktapreview.com", "okta-emea.com", "auth0.com", "us.auth0.com", "eu.auth0.com", "au.auth0.com",
	"jp.auth0.com", "onelogin.com", "pingone.com", "duosecurity.com", "cloudflareaccess.com",
	"sharepoint.com", "onmicrosoft.com", "b2clogin.com", "crm.dynamics.com", "crm4.dynamics.com", "api.crm.dynamics.com",
	"azurewebsites.net", "azure-api.net", "vault.azure.net", "openai.azure.com", "cognitiveservices.azure.com",
	"services.ai.azure.com", "blob.core.windows.net", "queue.core.windows.net", "table.core.windows.net",
	"file.core.windows.net", "database.windows.net", "search.windows.net", "servicebus.windows.net",
	"documents.azure.com", "azurecr.io", "azuredatabricks.net", "cloud.databricks.com", "gcp.databricks.com",
	"snowflakecomputing.com", "s3.amazonaws.com", "awsapps.com", "elb.amazonaws.com", "amazoncognito.com",
	"cloudfunctions.net", "run.app", "appspot.com", "firebaseio.com", "firebaseapp.com",
	"myshopify.com", "mybigcommerce.com", "chargebee.com", "recurly.com", "bamboohr.com", "myworkday.com",
	"statuspage.io",
	"grafana.net", "splunkcloud.com", "elastic-cloud.com", "found.io", "es.io", "bonsaisearch.net",
	"algolia.net", "algolianet.com", "cloud.qdrant.io", "weaviate.network", "weaviate.cloud",
	"mongodb.net", "confluent.cloud", "upstash.io", "turso.io", "neon.tech", "supabase.co", "psdb.cloud",
	"jfrog.io", "cloudsmith.io", "gitlab.io", "github.io", "visualstudio.com", "gitpod.io", "hashicorp.cloud",
	"zulipchat.com", "cloud.mattermost.com", "discourse.group", "rocket.chat", "slite.com", "notion.site",
	"activehosted.com", "api-us1.com", "helpscoutdocs.com",
	"wordpress.com", "webflow.io", "retool.com", "bubbleapps.io", "hasura.app",
	"herokuapp.com", "netlify.app", "vercel.app", "workers.dev", "pages.dev", "fly.dev", "onrender.com",
	"railway.app", "up.railway.app", "replit.app", "replit.dev", "repl.co", "glitch.me", "deno.dev", "modal.run",
	"endpoints.huggingface.cloud", "hf.space", "r2.dev", "r2.cloudflarestorage.com", "trycloudflare.com",
	"webcontainer.io", "app.github.dev", "zapier.app", "gradio.live", "koyeb.app", "cyclic.app", "begin.app",
	"scm.azurewebsites.net", "b-cdn.net", "surge.sh", "hubspotpagebuilder.com", "my.salesforce-sites.com", "powerappsportals.com",
	"serveo.net", "localhost.run", "lhr.life", "share.zrok.io", "webhook.site", "oastify.com", "interact.sh", "hashnode.dev",
	"super.site", "myportfolio.com", "ghost.io", "substack.com", "tumblr.com", "squarespace.com", "weebly.com",
	"ngrok.io", "ngrok.app", "ngrok-free.app", "ngrok.dev", "loca.lt", "m.pipedream.net", "proxy.beeceptor.com",
)

// regions are domains below which a label is a region of the vendor's, and each customer has
// a host below that.
var regions = set("cloudapp.azure.com", "azurecontainerapps.io", "devtunnels.ms", "cloudworkstations.dev", "platformsh.site")

// ownNames are on the public suffix list, which is about cookies, and yet below them the
// vendor alone gives names.
var ownNames = set("googleapis.com", "githubusercontent.com")

func set(of ...string) map[string]bool {
	m := make(map[string]bool, len(of))
	for _, s := range of {
		m[s] = true
	}
	return m
}
