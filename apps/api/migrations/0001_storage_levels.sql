CREATE TABLE "leases" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "organisation_limits" (
	"organisation_id" uuid PRIMARY KEY NOT NULL,
	"rows_per_second_max" bigint,
	"hosts_max" integer,
	"series_max" bigint,
	"query_rows_per_minute_max" bigint,
	"queries_at_once_max" integer,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rollup_progress" (
	"step" text PRIMARY KEY NOT NULL,
	"complete_until" timestamp (3) with time zone NOT NULL,
	"scanned_until" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "storage_floors" (
	"level" text PRIMARY KEY NOT NULL,
	"dropped_before" timestamp (3) with time zone NOT NULL,
	"reason" text NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "coarsened_windows" bigint;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "simulated" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "organisation_limits" ADD CONSTRAINT "organisation_limits_organisation_id_organisations_id_fk" FOREIGN KEY ("organisation_id") REFERENCES "public"."organisations"("id") ON DELETE cascade ON UPDATE no action;