import { useState } from 'react';
import { Form } from 'react-aria-components';
import { Button } from '@/components/Button/Button';
import { Notice } from '@/components/Notice/Notice';
import { Segmented } from '@/components/Segmented/Segmented';
import { TextField } from '@/components/TextField/TextField';
import { text } from '@/lib/text';
import { serverNowMs } from '@/lib/time/clock';
import { PRESETS, fromLocalInput, presetSpan, toLocalInput } from '@/lib/time/span';
import type { Span } from '@/lib/time/span';
import styles from './SpanPicker.module.css';
import { presetOf } from './track-view';

interface SpanPickerProps {
  readonly span: Span;
  readonly onSpan: (span: Span) => void;
}

/** Quick choices, and two fields for any other span. Give it a `key` of the span, so that the fields follow. */
export function SpanPicker({ span, onSpan }: SpanPickerProps) {
  const [from, setFrom] = useState(toLocalInput(span.fromMs));
  const [to, setTo] = useState(toLocalInput(span.toMs));
  const [isBackwards, setBackwards] = useState(false);
  const nowMs = serverNowMs();

  const apply = () => {
    const typed = { fromMs: fromLocalInput(from), toMs: fromLocalInput(to) };
    const isGood = typed.fromMs < typed.toMs;
    setBackwards(!isGood);
    if (isGood) onSpan(typed);
  };
  return (
    <div className={styles['picker']}>
      <Segmented
        label={text.track.presets}
        value={presetOf(span, nowMs)}
        options={PRESETS.map((preset) => [preset, text.presets[preset]] as const)}
        onChange={(preset) => onSpan(presetSpan(preset, serverNowMs()))}
      />
      <Form
        className={styles['form'] ?? ''}
        onSubmit={(event) => {
          event.preventDefault();
          apply();
        }}
      >
        <TextField label={text.track.from} type="datetime-local" value={from} onChange={setFrom} isRequired />
        <TextField label={text.track.to} type="datetime-local" value={to} onChange={setTo} isRequired />
        <Button type="submit">{text.track.apply}</Button>
      </Form>
      {isBackwards && <Notice tone="danger">{text.track.backwards}</Notice>}
    </div>
  );
}
