// SPDX-License-Identifier: Apache-2.0
import type { z } from "zod";
import type { ColumnType, Table } from "./table.ts";

/** A list as every list route answers it; what stands beside `data` is meta. */
export interface List {
  readonly data: readonly unknown[];
}

/**
 * How a list becomes rows: one column per field of its entries' schema, an object's fields as `outer.inner`, lists and free-form objects as JSON. The columns are
 * those of the schema, also where there is no row. NDJSON has the entries as they are.
 */
export function listTable(entry: z.ZodObject): (list: List) => Table {
  const fields = fieldsOf(entry, []);
  return ({ data, ...meta }) => ({
    meta,
    summary: meta,
    columns: fields.map(({ path, type }) => ({ name: path.join("."), type, values: data.map((one) => at(one, path)) })),
    rows: data.length,
    records: data,
  });
}

interface Field {
  readonly path: readonly string[];
  readonly type: ColumnType;
}

function fieldsOf(schema: z.ZodObject, path: readonly string[]): Field[] {
  return Object.entries(schema.shape as Record<string, z.ZodType>).flatMap(([name, value]) => {
    const inner = unwrapped(value);
    const here = [...path, name];
    if (inner.def.type === "object") return fieldsOf(inner as z.ZodObject, here);
    return [{ path: here, type: columnType(inner.def.type) }];
  });
}

/** Without what says that a value may be absent. */
function unwrapped(schema: z.ZodType): z.ZodType {
  const { def } = schema as z.ZodType & { def: { type: string; innerType?: z.ZodType } };
  return def.innerType !== undefined && ["nullable", "optional", "default", "readonly"].includes(def.type) ? unwrapped(def.innerType) : schema;
}

function columnType(type: string): ColumnType {
  if (type === "string" || type === "enum" || type === "literal") return "text";
  if (type === "number" || type === "int") return "number";
  return type === "boolean" ? "boolean" : "json";
}

function at(value: unknown, path: readonly string[]): unknown {
  let inner = value;
  for (const name of path) {
    if (inner === null || inner === undefined) return null;
    inner = (inner as Record<string, unknown>)[name];
  }
  return inner ?? null;
}
