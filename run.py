"""The same as the console command `lstm-ae`."""

from lstm_ae.cli import main

if __name__ == "__main__":
    main()
