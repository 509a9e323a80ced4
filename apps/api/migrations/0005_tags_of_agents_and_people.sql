ALTER TABLE "hosts" ADD COLUMN "agent_tags" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "own_tags" jsonb DEFAULT '{}'::jsonb NOT NULL;