import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { ROOT, runProgram, runTool } from './verify-tools.ts'

/** Budgets of a production install without optional peers; raised only by a decision. */
export const MAX_PACKAGES = 150
export const MAX_INSTALLED_BYTES = 80 * 1000 * 1000

/**
 * Packs what was built, reads its types as other projects would, installs it into an empty folder, imports
 * every export, runs the bin, and holds the budgets.
 */
export async function checkPackage(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    name: string
    version: string
    exports: Record<string, string>
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

    const entries = Object.keys(manifest.exports).filter((name) => name !== './package.json')
    const specifiers = entries.map((name) => manifest.name + name.slice(1))
    for (const specifier of specifiers) {
      const script = `const names = Object.keys(await import(${JSON.stringify(specifier)})); if (names.length === 0) throw new Error('exports nothing')`
      await runProgram(process.execPath, ['--input-type=module', '--eval', script], folder)
    }
    await checkBin(folder, manifest.version)
    return `${entries.length} exports, ${await checkBudgets(join(folder, 'node_modules'))}`
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function checkBin(folder: string, version: string): Promise<void> {
  const bin = join(folder, 'node_modules/.bin/tidemark')
  const said = (await runProgram(bin, ['--version'], folder)).trim()
  if (said !== version) throw new Error(`tidemark --version says ${said}, package.json says ${version}`)
  const help = await runProgram(bin, ['--help'], folder)
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
