// SPDX-License-Identifier: Apache-2.0
import { type SQL, sql } from "drizzle-orm";

/** What a host says of itself, at a Hello or when it is enrolled again, that may differ from what is known of it. */
export interface SaidFacts {
  readonly hostId: string;
  /** Empty: not said. */
  readonly bootId: string;
  readonly kernel?: string;
  readonly agentVersion?: string;
  /** When it was said, Unix milliseconds of the API's clock; left out: now. */
  readonly atMs?: number;
}

/**
 * Stores an event for each host of these that says another boot, kernel or agent version than `hosts` does: to be run before `hosts` is brought up to date, in the same transaction.
 *
 * The rows of `hosts` are locked in one order until then, so that of two nodes that heard the same host the second finds nothing new; and an event is named by what changed, so that one
 * that was stored is not stored again. What was not known before (a first Hello) is no change.
 */
export function noticeStatement(said: readonly SaidFacts[]): SQL {
  return sql`
    INSERT INTO events (organisation_id, id, at, kind, title, host_id, details)
    SELECT organisation_id, md5(concat_ws(' ', kind, host_id, was, became, named_by))::uuid, at, kind, title || ': ' || became, host_id,
      jsonb_build_object('before', was, 'after', became)
    FROM (
      SELECT hosts.organisation_id, hosts.id AS host_id, coalesce(to_timestamp(news."atMs" / 1000), now()) AS at, news."bootId",
        hosts.boot_id, hosts.kernel, hosts.agent_version, news.kernel AS new_kernel, news."agentVersion" AS new_version
      FROM jsonb_to_recordset(${JSON.stringify(said)}::jsonb) AS news("hostId" uuid, "bootId" text, kernel text, "agentVersion" text, "atMs" double precision)
      JOIN hosts ON hosts.id = news."hostId"
      ORDER BY hosts.id
      FOR UPDATE OF hosts
    ) AS said
    CROSS JOIN LATERAL (VALUES
      ('host.reboot', 'Started anew, boot', said.boot_id, said."bootId", ''),
      ('host.kernel', 'Kernel', said.kernel, said.new_kernel, coalesce(nullif(said."bootId", ''), at::text)),
      ('agent.version', 'Agent', said.agent_version, said.new_version, at::text)
    ) AS change(kind, title, was, became, named_by)
    WHERE was <> '' AND became <> '' AND was <> became AND said.boot_id <> ''
    ON CONFLICT DO NOTHING`;
}
