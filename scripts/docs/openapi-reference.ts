// SPDX-License-Identifier: Apache-2.0
import { openApiDocument } from "../../apps/api/src/features/openapi/openapi-document.ts";

/** docs/openapi.json: what the API serves at /api/v1/openapi.json. */
export function openApiReference(): string {
  return `${JSON.stringify(openApiDocument(), null, 2)}\n`;
}
