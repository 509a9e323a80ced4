// SPDX-License-Identifier: Apache-2.0
import type { ClickHouseSettings } from "@clickhouse/client";

/** Settings of one statement, by ClickHouse's names. */
export type QuerySettings = ClickHouseSettings;

/**
 * Of statements that people wait for. Agents wait for inserts, and where those fall behind spools fill up: the kernel gives threads of inserts their time first.
 *
 * ClickHouse heeds it with CAP_SYS_NICE and passes over it without. Its `priority` would not do: a query of less importance stands still for up to a second
 * whenever an insert runs, and with agents one always does.
 */
export const queriesYield: QuerySettings = { os_thread_priority: "3" };
