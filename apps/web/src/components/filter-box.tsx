// SPDX-License-Identifier: Apache-2.0
"use client";

import { useQueryClient } from "@tanstack/react-query";
import { readTerms, splitTerms, withoutTerm } from "@waggle/query";
import { X } from "lucide-react";
import { type KeyboardEvent, type RefObject, useRef, useState } from "react";
import { useSignals } from "@/lib/api/hooks";
import type { Host } from "@/lib/api/types";
import { keysToOffer, problemsOf, tagKeysOfHosts, valuesToOffer } from "@/lib/page-filter";
import { useView } from "@/lib/view";
import styles from "./controls.module.css";

/** The filter of the whole page: finished terms are chips, one is being typed. */
export function FilterBox({ inputRef }: { inputRef: RefObject<HTMLInputElement | null> }) {
  const view = useView();
  const [text, setText] = useState("");
  const [focused, setFocused] = useState(false);
  const signals = useSignals();
  const client = useQueryClient();
  const [problem, setProblem] = useState<string | null>(null);
  const terms = splitTerms(view.filter);
  const offered = focused ? valuesToOffer(text, words()) : [];
  // Leaving the field commits what was typed; leaving it by Escape throws it away.
  const discarding = useRef(false);

  /** Of hosts only what the page has loaded anyway: the box asks for nothing itself. */
  function words() {
    const hosts = client.getQueriesData<readonly Host[]>({ queryKey: ["hosts"] }).findLast(([, data]) => data !== undefined)?.[1];
    // Without the hosts nobody knows which tags there are: then unknown names are for the API to refuse.
    return signals.data === undefined || hosts === undefined ? undefined : { signals: signals.data, tagKeys: tagKeysOfHosts(hosts) };
  }

  function commit(): boolean {
    const added = splitTerms(text);
    const [wrong] = problemsOf(text, words());
    if (wrong === undefined) setProblem(null);
    else {
      const meant = wrong.suggestion === undefined ? "" : ` Did you mean ${wrong.suggestion}?`;
      setProblem(`Character ${wrong.start + 1}: ${wrong.detail}${meant}`);
      inputRef.current?.setSelectionRange(wrong.start, wrong.end);
      return false;
    }
    if (added.length > 0) view.setFilter([...terms, ...added.filter((t) => !terms.includes(t))].join(" "));
    setText("");
    return true;
  }

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>): void {
    const openQuote = (text.match(/"/g)?.length ?? 0) % 2 === 1;
    if (event.key === "Enter" || (event.key === " " && !openQuote && readTerms(text).terms.length > 0)) {
      event.preventDefault();
      commit();
    } else if (event.key === "Backspace" && text === "" && terms.length > 0) view.setFilter(withoutTerm(view.filter, terms.length - 1));
    else if (event.key === "Escape") {
      setText("");
      setProblem(null);
      discarding.current = true;
      inputRef.current?.blur();
    }
  }

  return (
    <search className={styles["filter"]} aria-label="Filter">
      {terms.map((term, i) => {
        const colon = Math.max(term.indexOf(":") + 1, term.search(/[<>]/));
        return (
          <span key={term} className={styles["chip"]}>
            <span className={styles["chipText"]}>
              {term.slice(0, colon)}
              <i>{term.slice(colon)}</i>
            </span>
            <button
              type="button"
              className={styles["chipRemove"]}
              aria-label={`Remove filter ${term}`}
              onClick={() => view.setFilter(withoutTerm(view.filter, i))}
            >
              <X size={12} strokeWidth={1.5} aria-hidden="true" />
            </button>
          </span>
        );
      })}
      <input
        ref={inputRef}
        className={styles["input"]}
        aria-label="Filter, key:value"
        aria-invalid={problem !== null}
        aria-describedby={focused || problem !== null ? "filter-hint" : undefined}
        placeholder={terms.length === 0 ? "filter hosts, processes, peers…" : ""}
        value={text}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => {
          setText(event.target.value);
          setProblem(null);
        }}
        onKeyDown={onKeyDown}
        onFocus={() => setFocused(true)}
        onBlur={() => {
          setFocused(false);
          if (text.trim() !== "" && !discarding.current) commit();
          else setProblem(null);
          discarding.current = false;
        }}
      />
      {!focused && <kbd title="Press / to filter">/</kbd>}
      {(problem !== null || offered.length > 0 || (focused && text === "")) && (
        <div id="filter-hint" className={styles["hint"]} data-bad={problem !== null ? "" : undefined} role={problem !== null ? "alert" : undefined}>
          {problem ??
            (offered.length > 0
              ? `Values: ${offered.join(", ")}.`
              : `key:value, -key:value excludes, * matches any text, measure>number compares. Keys: ${keysToOffer(words()).join(", ")}.`)}
        </div>
      )}
    </search>
  );
}
