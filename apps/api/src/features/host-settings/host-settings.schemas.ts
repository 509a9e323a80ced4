// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";

/** As long as the kernel's name of a task may be (TASK_COMM_LEN without its NUL). */
const PROCESS_NAME_BYTES_MAX = 15;
const WATCHED_PROCESSES_MAX = 32;
const SIGNALS_OFF_MAX = 200;

const windowMs = z
  .int("must be a whole number of milliseconds")
  .min(1_000, "must be 1000 to 60000")
  .max(60_000, "must be 1000 to 60000")
  .refine((value) => 60_000 % value === 0, "must divide 60000, so that hosts line up: 1000, 2000, 5000, 10000, 15000, 20000, 30000, 60000 and others")
  .meta({ description: "Length of a window in milliseconds; a divisor of 60000. Holds from the next boundary on." });
const signalsOff = z
  .array(z.string().min(1).max(100))
  .max(SIGNALS_OFF_MAX)
  .transform((names) => [...new Set(names)].sort())
  .meta({
    description: "Signals that are not measured; `GET /signals` has the names. Those that an agent's own configuration switches off stay off.",
  });
const watchedProcesses = z
  .array(
    z
      .string()
      .min(1, "must not be empty")
      .refine((name) => Buffer.byteLength(name) <= PROCESS_NAME_BYTES_MAX, `the kernel cuts names to ${PROCESS_NAME_BYTES_MAX} bytes`)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: Postgres refuses NUL in text
      .refine((name) => !/[\u0000-\u001f\u007f]/.test(name), "must not hold control characters")
      .refine((name) => name.isWellFormed(), "must not hold half of a character"),
  )
  .max(WATCHED_PROCESSES_MAX, `must be at most ${WATCHED_PROCESSES_MAX} names`)
  .transform((names) => [...new Set(names)].sort())
  .meta({ description: "Process names as signals show them; their rows are the last to give anything up to `~other`." });
const cpuBudgetCores = z
  .number()
  .min(0.001, "must be 0.001 to 10")
  .max(10, "must be 0.001 to 10")
  .meta({ description: "What the agent and its programs in the kernel may use together, in CPU cores; 0.02 is 2 % of one core." });
const rowsMax = z.int().min(100, "must be 100 to 20000").max(20_000, "must be 100 to 20000").meta({
  description:
    "Rows of one signal in one window; beyond, small ones give up dimensions to `~other`, who they were of last. An agent whose own configuration says less keeps to that.",
});

/** The fields to change; null unsets one, an absent one stays as it is. */
export const settingsPatchSchema = z
  .strictObject({
    windowMs: windowMs.nullable().optional(),
    signalsOff: signalsOff.nullable().optional(),
    watchedProcesses: watchedProcesses.nullable().optional(),
    cpuBudgetCores: cpuBudgetCores.nullable().optional(),
    rowsMax: rowsMax.nullable().optional(),
  })
  .meta({ id: "SettingsPatch", description: "Fields to change; null unsets one, an absent one stays as it is." });
export type SettingsPatch = z.output<typeof settingsPatchSchema>;

const revision = z.int().meta({ description: "Number of the newest change that concerns these settings, also their ETag; 0: nothing was ever set." });
const updatedAt = z.iso.datetime().nullable().meta({ description: "null: nothing was ever set here." });
const ownFields = {
  windowMs: z.int().nullable(),
  signalsOff: z.array(z.string()).nullable(),
  watchedProcesses: z.array(z.string()).nullable(),
  cpuBudgetCores: z.number().nullable(),
  rowsMax: z.int().nullable(),
};
const effectiveField = <Schema extends z.ZodType>(schema: Schema) => z.object({ value: schema, from: z.enum(["host", "organisation", "agent"]) });

export const organisationSettingsSchema = z
  .object({
    revision,
    updatedAt,
    settings: z.object(ownFields).meta({ description: "null: not set, each host's agent goes by its own configuration." }),
  })
  .meta({ id: "OrganisationSettings", description: "What holds for every host that has no setting of its own." });
export type OrganisationSettingsReport = z.infer<typeof organisationSettingsSchema>;

export const settingsStates = ["in_force", "with_problems", "pending"] as const;

export const hostSettingsSchema = z
  .object({
    hostId: z.string(),
    host: z.string(),
    revision,
    updatedAt,
    settings: z.object(ownFields).meta({ description: "Set for this host; null: not set here." }),
    effective: z
      .object({
        windowMs: effectiveField(ownFields.windowMs),
        signalsOff: effectiveField(ownFields.signalsOff),
        watchedProcesses: effectiveField(ownFields.watchedProcesses),
        cpuBudgetCores: effectiveField(ownFields.cpuBudgetCores),
        rowsMax: effectiveField(ownFields.rowsMax),
      })
      .meta({ description: "What the agent is told, and where it comes from; `agent`: its own configuration holds, which is not known here." }),
    watched: z
      .object({
        windowMs: z.int().meta({ description: "Length of its windows meanwhile, whatever is set; longer only while the store lacks disk." }),
        watchers: z.int().meta({ description: "Live connections, on all API nodes." }),
        until: z.iso.datetime().meta({ description: "When the lease is over unless it is renewed, as it is while somebody looks." }),
      })
      .nullable()
      .meta({
        description: "Somebody looks at the host live (GET /live), so its windows are short; what is set holds again when nobody does. null: nobody.",
      }),
    state: z.enum(settingsStates).meta({
      description:
        "`pending`: the agent has not acknowledged this revision (yet, or it is away, or too old to); `with_problems`: it could not do all of it.",
    }),
    applied: z
      .object({
        revision: z.int().meta({ description: "Of the settings the agent goes by." }),
        at: z.iso.datetime().meta({ description: "When the API first heard so." }),
        problems: z.array(z.string()).meta({ description: "What of it the agent could not do." }),
      })
      .nullable()
      .meta({ description: "What the agent acknowledged last; null: it never did." }),
  })
  .meta({ id: "HostSettings" });
export type HostSettingsReport = z.infer<typeof hostSettingsSchema>;
