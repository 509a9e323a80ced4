ALTER TABLE "hosts" ADD COLUMN "told_in" "xid8" DEFAULT pg_current_xact_id() NOT NULL;--> statement-breakpoint
CREATE INDEX "hosts_organisation_told_in" ON "hosts" USING btree ("organisation_id","told_in");--> statement-breakpoint
CREATE FUNCTION "hosts_told"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.told_in := pg_current_xact_id(); RETURN NEW; END $$;--> statement-breakpoint
-- What queries know of a host: rows of KnownHosts. What it reports every few seconds is not among it.
CREATE TRIGGER "hosts_told" BEFORE UPDATE OF "name", "enrolled_at", "retired_at", "tags", "kernel", "distribution", "architecture", "agent_version" ON "hosts"
FOR EACH ROW WHEN (
  (OLD."name", OLD."enrolled_at", OLD."retired_at", OLD."tags", OLD."kernel", OLD."distribution", OLD."architecture", OLD."agent_version") IS DISTINCT FROM
  (NEW."name", NEW."enrolled_at", NEW."retired_at", NEW."tags", NEW."kernel", NEW."distribution", NEW."architecture", NEW."agent_version")
) EXECUTE FUNCTION "hosts_told"();
