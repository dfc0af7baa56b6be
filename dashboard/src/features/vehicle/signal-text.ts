import type { SignalInfo } from '@/api/types';
import { formatValue } from '@/lib/format';

/** A value as a person reads it: the value table's word where there is one, else the number with its unit. */
export function signalText(value: number, info: SignalInfo | undefined): string {
  const word = choiceText(value, info?.choices ?? null);
  if (word !== null) return word;
  return info?.unit ? `${formatValue(value)} ${info.unit}` : formatValue(value);
}

export function choiceText(value: number, choices: SignalInfo['choices']): string | null {
  if (choices === null) return null;
  return choices[String(value)] ?? choices[formatValue(value)] ?? null;
}
