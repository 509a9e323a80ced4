// SPDX-License-Identifier: Apache-2.0
import type { ClickHouseSettings } from "@clickhouse/client";

/** Settings of one statement, by ClickHouse's names. */
export type QuerySettings = ClickHouseSettings;
