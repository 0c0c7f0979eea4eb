import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'

import { addCoverage, createCoverage, describeCoverage } from './coverage.ts'
import { createCrew, type Crew } from './crew.ts'
import { MUTATIONS } from './mutations/list.ts'
import type { Outcome } from './outcome.ts'
import type { Case, StoreKind } from './plan.ts'

/**
 * npm run sim -- [--seeds N] [--from 1] [--steps 200] [--store memory|sqlite] [--seed N] [--mutation NAME]
 *                [--mutations] [--keep-going] [--save] [--json]
 */
const { values: options } = parseArgs({
  options: {
    /** Absent: 200, and 600 for the mutations, of which the hardest to meet takes some hundreds. */
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    /** Absent: 200, and 1,000 for the mutations. */
    steps: { type: 'string' },
    store: { type: 'string', default: 'memory' },
    seed: { type: 'string' },
    mutation: { type: 'string' },
    mutations: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    /** Writes a failing case, shrunk, to sim/seeds. */
    out: { type: 'string' },
    save: { type: 'boolean', default: false },
    shrink: { type: 'string', default: '300' },
    trace: { type: 'string', default: '60' },
    /** With --seed or --case: a text whose places the trace is to name. */
    follow: { type: 'string' },
    /** A saved case instead of a seed. */
    case: { type: 'string' },
    workers: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const steps = Number(options.steps ?? (options.mutations ? 1_000 : 200))
const seedCount = Number(options.seeds ?? (options.mutations ? 600 : 200))
const workers = options.workers === undefined ? undefined : Number(options.workers)
const store: StoreKind = options.store === 'sqlite' ? 'sqlite' : 'memory'
const say = (line: string): void => (options.json ? undefined : console.log(line))

interface Failure {
  readonly seed: number
  readonly outcome: Outcome
}

interface Sum {
  readonly seeds: number
  readonly steps: number
  readonly events: number
  readonly seconds: number
  readonly stepsPerSecond: number
  readonly failures: readonly Failure[]
}

async function runSeeds(
  crew: Crew,
  seeds: readonly number[],
  stopAtFirst: boolean,
  progress: boolean,
): Promise<Sum & { coverage: ReturnType<typeof createCoverage> }> {
  const coverage = createCoverage()
  const failures: Failure[] = []
  const begun = performance.now()
  let [done, stepsDone, events, next] = [0, 0, 0, 0]
  let said = begun
  const line = async (): Promise<void> => {
    while (next < seeds.length && !(stopAtFirst && failures.length > 0)) {
      const seed = seeds[next++] as number
      const report = await crew.do({ type: 'seed', seed, steps, store })
      const { outcome } = report
      done++
      stepsDone += outcome.steps
      events += outcome.events
      addCoverage(coverage, outcome.coverage)
      if (outcome.violation !== null) {
        failures.push({ seed, outcome })
        if (progress)
          say(
            `seed ${seed}: ${outcome.violation.invariant} after step ${outcome.violation.step}: ${outcome.violation.message}`,
          )
      }
      if (progress && performance.now() - said > 5_000) {
        said = performance.now()
        say(
          `${done}/${seeds.length} seeds · ${Math.round((stepsDone * 1000) / (said - begun))} steps/s · ${failures.length} failing`,
        )
      }
    }
  }
  await Promise.all(Array.from({ length: crew.size }, line))
  const seconds = (performance.now() - begun) / 1000
  return {
    seeds: done,
    steps: stepsDone,
    events,
    seconds,
    stepsPerSecond: Math.round(stepsDone / seconds),
    failures,
    coverage,
  }
}

async function shrinkAndShow(crew: Crew, failure: Failure): Promise<void> {
  const { planCase } = await import('./plan.ts')
  const report = await crew.do({
    type: 'shrink',
    case: planCase(failure.seed, { steps, store }),
    tries: Number(options.shrink),
  })
  const { outcome } = report
  const shown = Number(options.trace)
  say(`\nagain: npm run sim -- --seed ${failure.seed} --steps ${steps} --store ${store}`)
  say(
    `shrunk in ${report.type === 'shrunk' ? report.tries : 0} tries to ${report.case.actions.length} actions`,
  )
  for (const action of report.case.actions)
    say(`  +${action.gap}ms r${action.replica + 1} ${action.kind} (${action.seed})`)
  for (const trace of outcome.trace.slice(-shown)) say(`  ${trace}`)
  say(`  → ${outcome.violation?.invariant}: ${outcome.violation?.message}`)
  if (options.out !== undefined) await writeFile(options.out, JSON.stringify(report.case))
  if (options.save)
    await saveCase(
      report.case,
      failure.seed,
      `${outcome.violation?.invariant}: ${outcome.violation?.message ?? ''}`,
    )
}

/** Writes the case where `--case` can read it. */
async function saveCase(found: Case, seed: number, note: string): Promise<void> {
  const folder = new URL('./seeds/', import.meta.url)
  await mkdir(folder, { recursive: true })
  const file = new URL(`seed-${found.settings.store}-${seed}.json`, folder)
  await writeFile(file, `${JSON.stringify({ ...found, note }, null, 1)}\n`)
  say(`saved as sim/seeds/seed-${found.settings.store}-${seed}.json`)
}

async function runSaved(crew: Crew, file: string): Promise<number> {
  const found = JSON.parse(await readFile(file, 'utf8')) as Case
  const { follow } = options
  const { outcome } = await crew.do({
    type: 'case',
    case: found,
    trace: Number(options.trace),
    ...(follow === undefined ? {} : { follow }),
  })
  for (const trace of outcome.trace) say(trace)
  say(
    `${outcome.violation === null ? 'clean' : `${outcome.violation.invariant} after step ${outcome.violation.step}: ${outcome.violation.message}`} · ${outcome.hash}`,
  )
  return outcome.violation === null ? 0 : 1
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at)

async function main(): Promise<number> {
  if (options.mutations) return runMutations()
  await using crew = createCrew({ mutation: options.mutation ?? null }, workers)
  if (options.case !== undefined) return await runSaved(crew, options.case)
  const seeds = options.seed === undefined ? range(Number(options.from), seedCount) : [Number(options.seed)]
  const { coverage, ...sum } = await runSeeds(crew, seeds, !options['keep-going'], true)
  if (options.json)
    console.log(
      JSON.stringify({
        ...sum,
        failures: sum.failures.map(({ seed, outcome }) => ({ seed, violation: outcome.violation })),
        coverage,
      }),
    )
  const [first] = sum.failures
  if (first !== undefined) await shrinkAndShow(crew, first)
  for (const line of describeCoverage(coverage)) say(line)
  say(
    `${sum.seeds} seeds · ${sum.steps} steps · ${sum.events} events · ${sum.seconds.toFixed(1)} s · ${sum.stepsPerSecond} steps/s · ${sum.failures.length} failing`,
  )
  return sum.failures.length === 0 ? 0 : 1
}

/** Each deliberate fault must be caught; says by which invariant and after how many seeds. */
async function runMutations(): Promise<number> {
  let missed = 0
  const results: { name: string; caught: string | null; seeds: number }[] = []
  const chosen =
    options.mutation === undefined ? MUTATIONS : MUTATIONS.filter(({ name }) => name === options.mutation)
  for (const { name, about } of chosen) {
    await using crew = createCrew({ mutation: name }, workers)
    const { failures } = await runSeeds(crew, range(Number(options.from), seedCount), true, false)
    const first = failures.toSorted((a, b) => a.seed - b.seed)[0]
    if (first === undefined) missed++
    results.push({
      name,
      caught: first?.outcome.violation?.invariant ?? null,
      seeds: first?.seed ?? seedCount,
    })
    say(
      first === undefined
        ? `MISSED ${name}: ${about}`
        : `caught ${name} by ${first.outcome.violation?.invariant} at seed ${first.seed}: ${first.outcome.violation?.message.split('\n')[0]}`,
    )
  }
  if (options.json) console.log(JSON.stringify(results))
  say(
    `${chosen.length - missed} of ${chosen.length} mutations caught within ${seedCount} seeds of ${steps} steps`,
  )
  return missed === 0 ? 0 : 1
}

process.exitCode = await main()
