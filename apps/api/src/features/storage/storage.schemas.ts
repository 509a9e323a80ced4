// SPDX-License-Identifier: Apache-2.0
import { levels, storageStates } from "@waggle/signals";
import { z } from "zod";

const bytes = z.number();
const date = z.string().nullable();

export const storageTableSchema = z
  .object({
    table: z.string(),
    signal: z.string().nullable().meta({ description: "null: bookkeeping of ingest and roll-ups." }),
    level: z.enum(levels).nullable(),
    scope: z.enum(["host", "fleet"]).nullable(),
    rows: z.int().meta({ description: "Replaced rows that are not merged yet included." }),
    bytes: bytes.meta({ description: "On disk, compressed, with index." }),
    bytesPerRow: z.number().nullable().meta({ description: "null: no rows." }),
    parts: z.int(),
    oldest: date.meta({ description: "First day of the oldest partition; null: no rows." }),
    newest: date.meta({ description: "First day of the newest partition." }),
    retentionDays: z.int().nullable().meta({ description: "null: kept for good." }),
    overdueBytes: bytes.meta({ description: "Of partitions whose rows should all have been deleted more than a day ago." }),
  })
  .meta({ id: "StorageTable" });

export const storageReportSchema = z
  .object({
    state: z.enum(storageStates).meta({
      description: "ok; warn; coarsen: agents are asked for longer windows; drop: the oldest raw rows are dropped.",
    }),
    since: z.iso.datetime(),
    note: z.string().nullable().meta({ description: "What is the matter, in words; null: nothing." }),
    usedShare: z.number().meta({ description: "Of the fullest disk, or of the configured limit." }),
    thresholds: z.object({ warn: z.number(), coarsen: z.number(), drop: z.number() }),
    windowMsWanted: z.int().nullable().meta({ description: "Window length that agents are asked for, ms; null: their own." }),
    checkedAt: z.iso.datetime(),
    disks: z.array(z.object({ node: z.string(), disk: z.string(), totalBytes: bytes, freeBytes: bytes, usedShare: z.number() })),
    bytes: bytes.meta({ description: "Of all tables on all servers." }),
    bytesMax: bytes.nullable().meta({ description: "What they may take (WAGGLE_API_STORAGE_BYTES_MAX); null: what the disks hold." }),
    partitionPartsMax: z.int().meta({ description: "Parts of the partition that has most; inserts are delayed from 1,000." }),
    dropped: z
      .object({ rawBefore: z.iso.datetime(), reason: z.string(), decidedAt: z.iso.datetime() })
      .nullable()
      .meta({ description: "Raw rows before that were given up for space, or are about to be; older windows are refused. null: none ever." }),
    levels: z.array(
      z.object({
        level: z.enum(levels).nullable(),
        scope: z.enum(["host", "fleet"]).nullable(),
        tables: z.int(),
        rows: z.int(),
        bytes,
        bytesPerRow: z.number().nullable(),
        parts: z.int(),
        overdueBytes: bytes,
      }),
    ),
    tables: z.array(storageTableSchema),
  })
  .meta({ id: "StorageReport" });
export type StorageReport = z.infer<typeof storageReportSchema>;
export type StorageTable = z.infer<typeof storageTableSchema>;
