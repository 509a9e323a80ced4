// SPDX-License-Identifier: Apache-2.0
import { coverageStates } from "@waggle/signals";
import { z } from "zod";

export const signalSchema = z
  .object({
    name: z.string(),
    kind: z.enum(["counter", "gauge", "histogram", "stack"]),
    family: z.string(),
    unit: z.string(),
    question: z.string(),
    help: z.string(),
    dimensions: z.array(
      z.object({
        name: z.string(),
        label: z.string(),
        help: z.string(),
        values: z.array(z.string()).nullable().meta({
          description:
            "All it can be, besides empty (unknown) and `~other`; a filter on another value is refused, unless it is in quotes. null: any text.",
        }),
      }),
    ),
    measures: z.array(
      z.object({
        name: z.string(),
        unit: z.string(),
        kind: z.enum(["sum", "gauge", "distribution", "minimum", "maximum"]),
        aggregates: z.array(z.string()),
        help: z.string(),
      }),
    ),
    hooks: z.array(z.string()).meta({ description: "Kernel hooks that feed it." }),
    caveats: z.array(z.string()).meta({ description: "What the number does not see." }),
    coverage: z.object({
      hosts: z.int().meta({ description: "Hosts of the organisation." }),
      reporting: z.int().meta({ description: "Those that measured it in the last 2 minutes." }),
      states: z
        .partialRecord(z.enum([...coverageStates, "unknown"]), z.int())
        .meta({ description: "How many hosts are in which state; `unknown`: offline or silent about it." }),
    }),
  })
  .meta({ id: "Signal" });
export type SignalEntry = z.infer<typeof signalSchema>;

export const signalListSchema = z.object({ data: z.array(signalSchema) });
