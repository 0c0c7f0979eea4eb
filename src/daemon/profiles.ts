import { TidemarkError } from '../kernel/errors.ts'
import type { Folders } from '../machine/folders.ts'
import { forgetToken } from '../machine/device.ts'
import type { Machine } from '../machine/machine.ts'
import { listAttachments } from './attachments.ts'
import { changeConfigFile, readConfigFile, type ConfigFile } from './config-file.ts'

/** A profile is a name for settings that belong together: an endpoint, its token, how to sync with it. */
export interface Profile {
  readonly name: string
  /** The one that is taken where nobody names one. */
  readonly active: boolean
}

/** It is there, also where nothing is set in it. */
const DEFAULT_PROFILE = 'default'
/** What a file begins with. */
export const EMPTY_CONFIG = `{\n  "profiles": {},\n  "active_profile": "${DEFAULT_PROFILE}"\n}\n`
export const EMPTY_SECRETS = '{\n  "profiles": {}\n}\n'

const namesIn = (file: ConfigFile): readonly string[] => [...new Set([DEFAULT_PROFILE, ...file.profiles])]

export const hasProfile = (file: ConfigFile, name: string): boolean => namesIn(file).includes(name)

/** The named profile, else the file's. Throws `bad_usage`. */
export function chooseProfile(file: ConfigFile, named: string | undefined): string {
  const profile = named ?? file.active ?? DEFAULT_PROFILE
  if (hasProfile(file, profile)) return profile
  throw new TidemarkError(
    'bad_usage',
    `there is no profile ${quote(profile)}; there are ${namesIn(file).map(quote).join(', ')}. To make it: tidemark config profiles add NAME`,
  )
}

/** Throws `bad_usage`: it is written into files, commands and screens. */
export function requireProfileName(name: string): void {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name)) return
  throw new TidemarkError(
    'bad_usage',
    'the name of a profile is up to 64 letters, digits and . _ -, and begins with a letter, a digit or _',
  )
}

export function listProfiles(folders: Folders): readonly Profile[] {
  const file = readConfigFile(folders.config)
  const active = file.active ?? DEFAULT_PROFILE
  return namesIn(file).map((name) => ({ name, active: name === active }))
}

/** Makes it the one that is taken where nobody names one. Throws `bad_usage`. */
export function useProfile(folders: Folders, name: string): void {
  changeConfigFile(
    folders.config,
    (file) => [{ set: ['active_profile'], value: JSON.stringify(chooseProfile(file, name)) }],
    EMPTY_CONFIG,
  )
}

/**
 * Makes a profile, with the settings of another where one is named, but not its token: with the next endpoint that is
 * set it would go to somebody else. Throws `bad_usage`.
 */
export function addProfile(folders: Folders, name: string, copied?: string): void {
  requireProfileName(name)
  changeConfigFile(
    folders.config,
    (file) => {
      if (hasProfile(file, name))
        throw new TidemarkError('bad_usage', `there is a profile ${quote(name)} already`)
      const value = copied === undefined ? null : file.textOf(chooseProfile(file, copied))
      return [{ set: ['profiles', name], value: value ?? '{}' }]
    },
    EMPTY_CONFIG,
  )
}

/**
 * Takes away its settings, its token and the one that this device got with that. Throws `bad_usage` for the active one,
 * and while files are under it.
 */
export function removeProfile(machine: Machine, name: string): void {
  const { folders } = machine
  checkRemoval(folders, name)
  const endpoint = readConfigFile(folders.config).find(name, 'endpoint')?.value
  const token = readConfigFile(folders.secrets).find(name, 'token')?.value
  if (typeof endpoint === 'string' && typeof token === 'string') forgetToken(machine, { endpoint, token })
  changeConfigFile(
    folders.config,
    (file) => {
      checkActive(file, name)
      return [{ remove: ['profiles', name] }]
    },
    EMPTY_CONFIG,
  )
  changeConfigFile(folders.secrets, () => [{ remove: ['profiles', name] }], EMPTY_SECRETS)
}

/** What keeps a profile from being removed, before a person is asked. */
export function checkRemoval(folders: Folders, name: string): void {
  const file = readConfigFile(folders.config)
  chooseProfile(file, name)
  checkActive(file, name)
  const files = listAttachments(folders).flatMap(({ profile, file: path }) =>
    profile === name ? [path] : [],
  )
  if (files.length === 0) return
  throw new TidemarkError(
    'bad_usage',
    `files are under sync in the profile ${quote(name)}: detach them first`,
    {
      details: { files },
    },
  )
}

function checkActive(file: ConfigFile, name: string): void {
  if (name !== (file.active ?? DEFAULT_PROFILE)) return
  throw new TidemarkError(
    'bad_usage',
    `the profile ${quote(name)} is in use: choose another one first, with tidemark config profiles use NAME`,
  )
}

/** A name of somebody's file may hold anything. */
const quote = (name: string): string => (/^[\w.-]+$/.test(name) ? name : JSON.stringify(name))
