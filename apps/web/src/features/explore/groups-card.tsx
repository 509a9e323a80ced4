// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue } from "@waggle/units";
import { ChartCard } from "@/components/chart-card";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { useHosts, usePanelQuery } from "@/lib/api/hooks";
import type { Signal } from "@/lib/api/types";
import { useLinks } from "@/lib/links";
import { labelText, OTHER } from "@/lib/series";
import styles from "../page.module.css";
import { type Choice, groupable, tableSelections } from "./choice";
import { type GroupRow, groupRows } from "./groups";

const ROWS_MAX = 50;
/** Columns of numbers; more than that nobody compares. */
const COLUMNS_MAX = 8;

/** Each group over the whole range, largest first, and which filter shows it alone. */
export function GroupsCard({ signal, choice }: { signal: Signal; choice: Choice }) {
  const links = useLinks();
  // Without a choice the table still says who: by the signal's first dimensions.
  const by = choice.by.length > 0 ? choice.by : groupable(signal).slice(0, 2);
  const selections = tableSelections(signal).slice(0, COLUMNS_MAX);
  const query = usePanelQuery({ signal: signal.name, select: selections, by, limit: ROWS_MAX, shape: "total" });
  const hosts = useHosts().data;
  const columns: Column<GroupRow>[] = [
    ...by.map(
      (name): Column<GroupRow> => ({
        key: name,
        header: signal.dimensions.find((dimension) => dimension.name === name)?.label ?? name,
        sort: (row) => row.labels[name] ?? "",
        render: (row) => {
          const value = row.labels[name] ?? "";
          return value === OTHER ? (
            <span className={styles["dim"]}>{labelText(value)}</span>
          ) : (
            <a className={styles["link"]} href={links.filter(name, value)} title={`Only ${name} ${labelText(value)}`}>
              <span className={styles["owner"]}>{labelText(value)}</span>
            </a>
          );
        },
      }),
    ),
    ...selections.map(
      ({ measure, aggregate }): Column<GroupRow> => ({
        key: `${measure} ${aggregate}`,
        header: signal.measures.length > 1 && signal.kind !== "histogram" ? `${measure} ${aggregate}` : aggregate,
        align: "right",
        sort: (row) => row.values.get(`${measure} ${aggregate}`)?.value ?? null,
        render: (row) => {
          const cell = row.values.get(`${measure} ${aggregate}`);
          return formatValue(cell?.value ?? null, cell?.unit ?? "1");
        },
      }),
    ),
  ];
  return (
    <ChartCard
      id="explore-groups"
      title="Who"
      subtitle={`by ${by.join(" and ")}, whole range`}
      query={query}
      panel={usePanel(query, hosts)}
      height={260}
      ribbon={false}
    >
      {(answer) => (
        <DataTable
          label={`${signal.name} by ${by.join(" and ")}`}
          columns={columns}
          rows={groupRows(answer, by)}
          rowKey={(row) => row.key}
          maxHeight={420}
          note={
            answer.meta.truncated ? `The ${answer.meta.truncated.shown} largest of ${answer.meta.truncated.total}; the rest is "other".` : undefined
          }
        />
      )}
    </ChartCard>
  );
}
