import styles from './Button.module.css';

export type ButtonVariant = 'primary' | 'plain' | 'quiet' | 'icon';

/** For links that look like a button. */
export function buttonClass(variant: ButtonVariant): string {
  return `${styles['button']} ${styles[variant]}`;
}
