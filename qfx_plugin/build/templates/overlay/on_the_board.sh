# A terminal, so that sudo can ask; a login shell, so that root has PYNQ's Python and XRT.
cat <<END
continue.sh: copy it:  scp -r '$overlay' xilinx@board:
continue.sh: run it:   ssh -t xilinx@board 'sudo bash -lc "python3 /home/xilinx/overlay/run_on_board.py"'
END
