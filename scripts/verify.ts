/**
 * `npm run verify`: everything but the tests that a release must pass. A line per check with its seconds; a
 * failing check prints why, the others still run, and the exit code is 1. `npm run verify -- types lint` runs
 * only those.
 */
import { checkPackage } from './verify-package.ts'
import { runNode, runTool, type Check } from './verify-tools.ts'

const MAX_REASON_LINES = 80

const CHECKS: readonly Check[] = [
  { name: 'lockfile', run: () => runNode('scripts/complete-lock.ts', '--check') },
  { name: 'types', run: () => runTool('typescript', 'tsc', '-p', 'tsconfig.json') },
  { name: 'types, any platform', run: () => runTool('typescript', 'tsc', '-p', 'tsconfig.neutral.json') },
  {
    name: 'lint',
    run: () => runTool('oxlint', 'oxlint', '--type-aware', '--deny-warnings', '--format=unix'),
  },
  { name: 'format', run: () => runTool('oxfmt', 'oxfmt', '--check') },
  { name: 'layers', run: () => runTool('vitest', 'vitest', 'run', '--reporter=dot', 'test/layers.test.ts') },
  { name: 'unused code', run: () => runTool('knip', 'knip') },
  { name: 'build', run: () => runNode('scripts/build.ts') },
  { name: 'package manifest', run: () => runTool('publint', 'publint', '--strict') },
  { name: 'package installed', run: checkPackage },
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name.startsWith(name)))
if (unknown.length > 0) {
  console.error(
    `No check begins with: ${unknown.join(', ')}. There are: ${CHECKS.map(({ name }) => name).join('; ')}`,
  )
  process.exit(1)
}

let failed = 0
for (const check of CHECKS) {
  if (wanted.length > 0 && !wanted.some((name) => check.name.startsWith(name))) continue
  const start = performance.now()
  const seconds = (): string => `${((performance.now() - start) / 1000).toFixed(1)} s`.padStart(7)
  try {
    const note = await check.run()
    console.log(`ok     ${seconds()}  ${check.name}${note === '' ? '' : `: ${note}`}`)
  } catch (error) {
    failed++
    console.log(`FAILED ${seconds()}  ${check.name}`)
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')
    for (const line of reason.slice(0, MAX_REASON_LINES)) console.log(`    ${line}`)
    if (reason.length > MAX_REASON_LINES)
      console.log(`    … and ${reason.length - MAX_REASON_LINES} lines more`)
  }
}
if (failed > 0) console.log(`${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
