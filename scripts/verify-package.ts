import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { checkLife } from './verify-life.ts'
import { NO_WARNINGS, ROOT, runProgram, runTool } from './verify-tools.ts'

/** Budgets of a production install without optional peers; raised only by a decision. */
export const MAX_PACKAGES = 150
export const MAX_INSTALLED_BYTES = 80 * 1000 * 1000

/**
 * Packs what was built, reads its types as other projects would, installs it into an empty folder, imports
 * every export and runs the bin, on this Node and on the oldest that is allowed, and holds the budgets.
 */
export async function checkPackage(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    name: string
    version: string
    exports: Record<string, string>
    engines: { node: string }
  }
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-verify-'))
  try {
    await runProgram('npm', ['pack', '--ignore-scripts', '--pack-destination', folder])
    const tarball = join(folder, `${manifest.name}-${manifest.version}.tgz`)
    await runTool('@arethetypeswrong/cli', 'attw', '--profile', 'esm-only', tarball)

    const consumer = { private: true, type: 'module', allowScripts: { 'better-sqlite3': false } }
    await writeFile(join(folder, 'package.json'), JSON.stringify(consumer))
    await runProgram(
      'npm',
      ['install', '--omit=dev', '--no-audit', '--no-fund', '--prefer-offline', tarball],
      folder,
    )

    const budgets = await checkBudgets(join(folder, 'node_modules'))
    const entries = Object.keys(manifest.exports).filter((name) => name !== './package.json')
    const specifiers = entries.map((name) => manifest.name + name.slice(1))
    const oldest = await installNode(manifest.engines.node, join(folder, 'oldest'))
    for (const node of [process.execPath, oldest]) {
      await importAll(node, specifiers, folder)
      await checkBin(node, folder, manifest.version)
    }
    await checkLife(oldest, folder)
    return `${entries.length} exports, ${budgets}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The oldest Node that package.json allows (`^22.19 || >=24`), for what the newest one forgives. */
async function installNode(range: string, folder: string): Promise<string> {
  const version = /^\^(\d+\.\d+)(?= \|\||$)/.exec(range)?.[1]
  if (version === undefined)
    throw new Error(`engines.node is ${range}: expected ^MAJOR.MINOR at its beginning`)
  await mkdir(folder)
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, allowScripts: { node: true } }),
  )
  await runProgram(
    'npm',
    ['install', '--no-audit', '--no-fund', '--prefer-offline', `node@${version}.0`],
    folder,
  )
  return join(folder, 'node_modules/node/bin/node')
}

/** One process per export, so that none stands only because another was loaded before it. */
async function importAll(node: string, specifiers: readonly string[], folder: string): Promise<void> {
  for (const specifier of specifiers) {
    const script = `const names = Object.keys(await import(${JSON.stringify(specifier)})); if (names.length === 0) throw new Error('exports nothing')`
    await runProgram(node, [...NO_WARNINGS, '--input-type=module', '--eval', script], folder)
  }
}

async function checkBin(node: string, folder: string, version: string): Promise<void> {
  const bin = join(folder, 'node_modules/.bin/tidemark')
  const said = (await runProgram(node, [bin, '--version'], folder)).trim()
  if (said !== version) throw new Error(`tidemark --version says ${said}, package.json says ${version}`)
  const help = await runProgram(node, [bin, '--help'], folder)
  if (!help.includes('tidemark')) throw new Error(`tidemark --help says:\n${help}`)
}

async function checkBudgets(modules: string): Promise<string> {
  const lock = JSON.parse(await readFile(join(modules, '.package-lock.json'), 'utf8')) as {
    packages: Record<string, unknown>
  }
  const packages = Object.keys(lock.packages).length
  let bytes = 0
  for (const entry of await readdir(modules, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  }
  const figures = `${packages} packages, ${(bytes / 1e6).toFixed(1)} MB`
  if (packages > MAX_PACKAGES) throw new Error(`${figures}: more than ${MAX_PACKAGES} packages`)
  if (bytes > MAX_INSTALLED_BYTES) throw new Error(`${figures}: more than ${MAX_INSTALLED_BYTES / 1e6} MB`)
  return figures
}
