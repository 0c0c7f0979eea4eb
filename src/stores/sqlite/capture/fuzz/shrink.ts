import type { FuzzCase } from './case.ts'
import type { Failure } from './run.ts'

/** Takes statements away as long as the case still fails; `run` tells. */
export function shrinkCase(fuzzCase: FuzzCase, run: (fuzzCase: FuzzCase) => Failure | null): FuzzCase {
  let smallest = fuzzCase
  for (let rounds = 0, shrunk = true; shrunk && rounds < 10; rounds++) {
    shrunk = false
    for (const part of ['steps', 'setup', 'pragmas'] as const) {
      for (let at = smallest[part].length - 1; at >= 0; at--) {
        const smaller = { ...smallest, [part]: smallest[part].toSpliced(at, 1) } as FuzzCase
        if (run(smaller) === null) continue
        smallest = smaller
        shrunk = true
      }
    }
  }
  return smallest
}

const MAX_WHAT_CHARS = 1_500

/** The case as a script to read. */
export function caseText(fuzzCase: FuzzCase, failure: Failure | null): string {
  const steps = fuzzCase.steps.map(({ kind, sql }, at) => {
    const text = kind === 'repair' ? '-- repair' : `${sql};`
    return at === failure?.step ? `${text}   -- here` : text
  })
  return [
    `-- seed ${fuzzCase.seed}`,
    ...fuzzCase.pragmas.map((sql) => `${sql};`),
    ...fuzzCase.setup.map((sql) => `${sql};`),
    '-- attach',
    ...steps,
    `-- ${(failure?.what ?? 'no failure').slice(0, MAX_WHAT_CHARS)}`,
  ].join('\n')
}
