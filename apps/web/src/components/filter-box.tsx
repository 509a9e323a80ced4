// SPDX-License-Identifier: Apache-2.0
"use client";

import { X } from "lucide-react";
import { type KeyboardEvent, type RefObject, useRef, useState } from "react";
import { useView } from "@/lib/view";
import { FILTER_KEYS, parseTerm, problemWithTerm, splitTerms, withoutTerm } from "@/lib/where";
import styles from "./controls.module.css";

/** The filter of the whole page: finished terms are chips, one is being typed. */
export function FilterBox({ inputRef }: { inputRef: RefObject<HTMLInputElement | null> }) {
  const view = useView();
  const [text, setText] = useState("");
  const [focused, setFocused] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const terms = splitTerms(view.filter);
  // Leaving the field commits what was typed; leaving it by Escape throws it away.
  const discarding = useRef(false);

  function commit(): boolean {
    const added = splitTerms(text);
    const wrong = added.map(problemWithTerm).find((p) => p !== null) ?? null;
    setProblem(wrong);
    if (wrong !== null) return false;
    if (added.length > 0) view.setFilter([...terms, ...added.filter((t) => !terms.includes(t))].join(" "));
    setText("");
    return true;
  }

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>): void {
    const openQuote = (text.match(/"/g)?.length ?? 0) % 2 === 1;
    if (event.key === "Enter" || (event.key === " " && !openQuote && parseTerm(text.trim()) !== null)) {
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
        const colon = term.indexOf(":") + 1;
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
      {(problem !== null || (focused && text === "")) && (
        <div id="filter-hint" className={styles["hint"]} data-bad={problem !== null ? "" : undefined} role={problem !== null ? "alert" : undefined}>
          {problem ?? `key:value, -key:value excludes, * matches any text. Keys: ${FILTER_KEYS.join(", ")}.`}
        </div>
      )}
    </search>
  );
}
