// SPDX-License-Identifier: Apache-2.0
export * from "./gen/waggle/ingest/v1/ingest.ts";
