CREATE TABLE "installation_secrets" (
	"name" text PRIMARY KEY NOT NULL,
	"secret" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "watch_leases" (
	"organisation_id" uuid NOT NULL,
	"host_id" uuid NOT NULL,
	"node" text NOT NULL,
	"watchers" integer NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "watch_leases_organisation_id_host_id_node_pk" PRIMARY KEY("organisation_id","host_id","node")
);
--> statement-breakpoint
ALTER TABLE "watch_leases" ADD CONSTRAINT "watch_leases_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "watch_leases" ADD CONSTRAINT "watch_leases_host_id_hosts_id_fk" FOREIGN KEY ("host_id") REFERENCES "public"."hosts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "watch_leases_expires_at" ON "watch_leases" USING btree ("expires_at");