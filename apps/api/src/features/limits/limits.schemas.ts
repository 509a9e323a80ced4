// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";

const pair = (max: string, used: string) => z.object({ max: z.number().meta({ description: max }), used: z.number().meta({ description: used }) });

export const limitsReportSchema = z
  .object({
    rowsPerSecond: pair(
      "Signal rows that agents may send per second, averaged over 10 s.",
      "Over the last 10 s; above `max` while frames are sent away.",
    ),
    hosts: pair("Hosts that may be enrolled.", "Enrolled and not retired."),
    series: pair("Rows of every host's newest window, summed.", "Now, of the hosts that report to this API node.").extend({
      rowsMaxPerSignal: z.int().nullable().meta({
        description:
          "What agents were told to stay within per signal and window, beyond which rows give up dimensions to `~other`; null: their own setting.",
      }),
    }),
    queryRowsPerMinute: pair("Stored rows that queries may read per minute.", "Over the last minute; above `max` while queries are answered 429."),
    queriesAtOnce: pair("Queries that may run at the same time.", "Running now."),
  })
  .meta({ id: "Limits", description: "What the organisation may use and uses now. Each API node counts what passes through it." });
export type LimitsReport = z.infer<typeof limitsReportSchema>;
