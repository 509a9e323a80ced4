CREATE TABLE "storage_drops" (
	"table_name" text NOT NULL,
	"partition_id" text NOT NULL,
	"dropped_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"reported_minute" timestamp (3) with time zone,
	"confirmed_at" timestamp (3) with time zone,
	CONSTRAINT "storage_drops_table_name_partition_id_pk" PRIMARY KEY("table_name","partition_id")
);
