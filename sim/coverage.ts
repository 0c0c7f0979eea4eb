/** What the runs met: counts by name. Merged over seeds and workers. */
export interface Coverage {
  /** `phase × event` of the engine's machine. */
  readonly transitions: { [name: string]: number }
  /** Faults by kind, and crashes by the step they hit. */
  readonly faults: { [name: string]: number }
  readonly work: { [name: string]: number }
  /** Inbox kinds, resets and other things that the engines went through. */
  readonly outcomes: { [name: string]: number }
}

export const createCoverage = (): Coverage => ({ transitions: {}, faults: {}, work: {}, outcomes: {} })

export function count(counts: { [name: string]: number }, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by
}

export function addCoverage(sum: Coverage, more: Coverage): void {
  for (const part of ['transitions', 'faults', 'work', 'outcomes'] as const) {
    for (const [name, times] of Object.entries(more[part])) count(sum[part], name, times)
  }
}

/** Events of the machine that each phase can meet in a run; the table test covers the rest. */
export function describeCoverage(coverage: Coverage): readonly string[] {
  const lines: string[] = []
  const list = (title: string, counts: { readonly [name: string]: number }) => {
    const names = Object.keys(counts).sort()
    lines.push(`${title} (${names.length}):`)
    lines.push(`  ${names.map((name) => `${name} ${counts[name]}`).join(' · ')}`)
  }
  list('transitions, phase × event', coverage.transitions)
  list('faults', coverage.faults)
  list('application', coverage.work)
  list('outcomes', coverage.outcomes)
  return lines
}
