// SPDX-License-Identifier: Apache-2.0
"use client";

import { Menu } from "@base-ui/react/menu";
import { Ellipsis, Table2 } from "lucide-react";
import { type ReactNode, useEffect, useId, useState } from "react";
import { asCurl } from "@/lib/api/client";
import type { PanelResult } from "@/lib/api/hooks";
import type { QueryAnswer } from "@/lib/api/types";
import { shareLink } from "@/lib/links";
import { useTables } from "@/lib/shortcuts";
import { useView } from "@/lib/view";
import styles from "./chart-card.module.css";
import { type Column, DataTable } from "./data-table";
import floating from "./floating.module.css";
import type { Panel } from "./panel";
import { PanelState } from "./panel-state";
import { Ribbon } from "./ribbon";

export interface Twin {
  readonly columns: readonly Column<never>[];
  readonly rows: readonly unknown[];
}

/** A table twin with its row type kept inside. */
export function twinOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Twin {
  return { columns: columns as readonly Column<never>[], rows };
}

export interface ChartCardProps {
  readonly id: string;
  readonly title: string;
  /** What is drawn and in which unit, beside the title. */
  readonly subtitle: string;
  readonly query: PanelResult;
  readonly panel: Panel;
  /** px of the drawing area. */
  readonly height: number;
  /** One sentence with the numbers; its place is kept while there are none. */
  readonly summary?: (answer: QueryAnswer) => ReactNode;
  readonly controls?: ReactNode;
  readonly legend?: (answer: QueryAnswer) => ReactNode;
  readonly twin?: (answer: QueryAnswer) => Twin;
  readonly ribbon?: boolean;
  readonly className?: string;
  readonly children: (answer: QueryAnswer, summaryId: string) => ReactNode;
}

export function ChartCard(props: ChartCardProps) {
  const { id, title, subtitle, query, panel, height, summary, controls, legend, twin, ribbon = true, children } = props;
  const view = useView();
  const titleId = useId();
  const summaryId = useId();
  const tables = useTables();
  const [asTable, setAsTable] = useState(tables.all);
  useEffect(() => {
    if (tables.revision > 0) setAsTable(tables.all);
  }, [tables]);
  const answer = panel.state === "ready" ? panel.answer : null;

  return (
    <section
      id={id}
      data-card
      className={`${styles["card"]} ${props.className ?? ""}`}
      aria-labelledby={titleId}
      aria-busy={panel.state === "empty" && panel.cause.kind === "loading"}
    >
      <div className={styles["head"]}>
        <h2 id={titleId} className={styles["title"]}>
          {title} <span>{subtitle}</span>
        </h2>
        {controls}
        <div className={styles["tools"]}>
          {twin && (
            <button
              type="button"
              data-toggle-table
              className={styles["tool"]}
              aria-pressed={asTable}
              aria-label={asTable ? `${title}: show as chart` : `${title}: show as table`}
              title={asTable ? "Show as chart (t)" : "Show as table (t)"}
              onClick={() => setAsTable((v) => !v)}
            >
              <Table2 size={15} strokeWidth={1.5} aria-hidden="true" />
            </button>
          )}
          <CardMenu id={id} title={title} query={query} />
        </div>
      </div>
      {summary && (
        <p id={summaryId} className={styles["summary"]}>
          {answer ? summary(answer) : " "}
        </p>
      )}
      {query.ignored.length > 0 && (
        <p className={styles["ignored"]}>This signal has no {query.ignored.map((t) => `"${t}"`).join(", ")}: shown without.</p>
      )}
      {panel.state === "empty" ? (
        <PanelState
          cause={panel.cause}
          height={height}
          zone={view.zone}
          nowMs={view.nowMs}
          onRetry={panel.retry}
          onClearFilter={() => view.setFilter("")}
          onLatest={() => view.setRange({ from: "now-15m", to: "now" })}
        />
      ) : twin && asTable ? (
        <TwinTable twin={twin(panel.answer)} label={`${title}, as a table`} height={height} />
      ) : (
        children(panel.answer, summaryId)
      )}
      {answer && ribbon && !asTable && <Ribbon meta={answer.meta} />}
      {answer && legend && !asTable && legend(answer)}
    </section>
  );
}

function TwinTable({ twin, label, height }: { twin: Twin; label: string; height: number }) {
  return (
    <DataTable
      label={label}
      columns={twin.columns as readonly Column<unknown>[]}
      rows={twin.rows}
      rowKey={(_, i) => String(i)}
      maxHeight={height + 24}
    />
  );
}

function CardMenu({ id, title, query }: { id: string; title: string; query: PanelResult }) {
  const view = useView();
  const [said, setSaid] = useState("");
  async function copy(text: string, what: string): Promise<void> {
    const done = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
    setSaid(done ? `${what} copied` : `${what} could not be copied: the browser refused`);
    setTimeout(() => setSaid(""), 4000);
  }
  return (
    <>
      <span role="status" className={styles["said"]}>
        {said}
      </span>
      <Menu.Root>
        <Menu.Trigger className={styles["tool"]} aria-label={`${title}: more`}>
          <Ellipsis size={15} strokeWidth={1.5} aria-hidden="true" />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner className={floating["positioner"]} sideOffset={4} align="end">
            <Menu.Popup className={floating["popup"]}>
              <Menu.Item className={floating["item"]} onClick={() => void copy(shareLink(view.range, false, id), "Link")}>
                Copy link, range as shown in the URL
              </Menu.Item>
              <Menu.Item className={floating["item"]} onClick={() => void copy(shareLink(view.range, true, id), "Frozen link")}>
                Copy link, frozen to this data
              </Menu.Item>
              <Menu.Item className={floating["item"]} onClick={() => void copy(asCurl(query.body, window.location.origin), "curl command")}>
                Copy as curl
              </Menu.Item>
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
    </>
  );
}
