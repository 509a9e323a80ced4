// SPDX-License-Identifier: Apache-2.0
export type { ClusterServer, Clusters } from "./config.ts";
export { ClickHouseServerError, type ClickHouseServerErrorCode } from "./errors.ts";
export { type ClickHouseServer, type ClickHouseServerExit, type ClickHouseServerOptions, startClickHouseServer } from "./server.ts";
