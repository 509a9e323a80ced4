// SPDX-License-Identifier: Apache-2.0
import type { Column, Table } from "./table.ts";

/**
 * A table as an Apache Arrow IPC stream of one record batch. `waggle.meta` in the schema's metadata is what the answer says about itself, as JSON.
 * The library is loaded when the first client asks: most never do.
 */
export async function toArrow({ meta, columns, rows }: Table): Promise<Uint8Array> {
  const arrow = await import("apache-arrow");
  const typeOf = ({ type }: Column) => {
    switch (type) {
      case "number":
        return new arrow.Float64();
      case "boolean":
        return new arrow.Bool();
      case "time":
        return new arrow.Timestamp(arrow.TimeUnit.MILLISECOND, "UTC");
      case "text":
      case "json":
        return new arrow.Utf8();
    }
  };
  const fields = columns.map((column) => new arrow.Field(column.name, typeOf(column), true));
  const children = columns.map((column, index) => {
    const type = fields[index]?.type as InstanceType<typeof arrow.DataType>;
    const builder = arrow.makeBuilder({ type, nullValues: [null, undefined] });
    for (let row = 0; row < rows; row++)
      builder.append(column.type === "json" && column.values[row] != null ? JSON.stringify(column.values[row]) : column.values[row]);
    return builder.finish().flush();
  });
  const schema = new arrow.Schema(fields, new Map([["waggle.meta", JSON.stringify(meta)]]));
  const data = arrow.makeData({ type: new arrow.Struct(fields), length: rows, nullCount: 0, children });
  return arrow.tableToIPC(new arrow.Table(schema, [new arrow.RecordBatch(schema, data)]), "stream");
}
