// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { mediaTypes } from "../formats/media-type.ts";

/** A body, or an answer that is JSON and nothing else. */
export const json = (schema: z.ZodType, example?: unknown) => ({ "application/json": { schema, ...(example === undefined ? {} : { example }) } });

const text = z.string();
const bytes = z.string().meta({ format: "binary" });

/** An answer that also comes as rows, where `Accept` asks for them. */
export const rows = (schema: z.ZodType, example?: unknown) => ({
  ...json(schema, example),
  [mediaTypes.ndjson]: { schema: text.meta({ description: 'One JSON object per line: `{"meta": …}` first, then rows.' }) },
  [mediaTypes.csv]: {
    schema: text.meta({ description: "RFC 4180 with a header line; what the answer says of itself is in the header `Waggle-Meta`." }),
  },
  [mediaTypes.arrow]: {
    schema: bytes.meta({ description: "An Arrow IPC stream; `waggle.meta` in the schema's metadata is what the answer says of itself." }),
  },
});
